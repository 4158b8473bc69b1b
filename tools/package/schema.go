package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// schemaFile is what an editor checks a ServiceConnection by.
const schemaFile = "serviceconnection.schema.json"

// schemaURL of the newest release, which files name to their readers' editors.
const schemaURL = "https://github.com/serviceconnections/function-service-connections/releases/latest/download/" + schemaFile

// writeSchema of ServiceConnection for editors.
func writeSchema(o options, m manifests) error {
	schema, err := jsonSchema(m.files["configuration/definition.yaml"].content)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode schema: %w", err)
	}
	if err := os.WriteFile(filepath.Join(o.out, schemaFile), append(text, '\n'), 0o644); err != nil { //nolint:gosec // What is published is no secret.
		return fmt.Errorf("cannot write schema: %w", err)
	}
	return nil
}

// jsonSchema of draft 7, which editors know, from the CompositeResourceDefinition of
// ServiceConnection. It says all that the API server does but for CEL's rules, and
// refuses unknown fields, which the API server drops or refuses.
func jsonSchema(definition []byte) (map[string]any, error) {
	var d struct {
		Spec struct {
			Group    string `json:"group"`
			Versions []struct {
				Name   string `json:"name"`
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
			Names struct {
				Kind string `json:"kind"`
			} `json:"names"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(definition, &d); err != nil {
		return nil, fmt.Errorf("cannot decode CompositeResourceDefinition: %w", err)
	}
	if len(d.Spec.Versions) != 1 {
		return nil, fmt.Errorf("the CompositeResourceDefinition has %d versions; a file has the schema of one", len(d.Spec.Versions))
	}
	version := d.Spec.Versions[0]
	schema := closed(version.Schema.OpenAPIV3Schema)
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("version %s of the CompositeResourceDefinition has no fields", version.Name)
	}
	properties["apiVersion"] = map[string]any{"const": d.Spec.Group + "/" + version.Name}
	properties["kind"] = map[string]any{"const": d.Spec.Names.Kind}
	// Kubernetes' own.
	properties["metadata"] = map[string]any{"type": "object"}
	// Nobody writes it by hand.
	properties["status"] = map[string]any{"type": "object"}
	if spec, ok := properties["spec"].(map[string]any); ok {
		// Crossplane adds fields to it.
		delete(spec, "additionalProperties")
	}
	schema["required"] = []any{"apiVersion", "kind", "metadata", "spec"}
	schema["$schema"] = "http://json-schema.org/draft-07/schema#"
	schema["$id"] = schemaURL
	schema["title"] = d.Spec.Names.Kind
	return schema, nil
}

// closed is a structural schema in the words of JSON schema, in which an object has no
// fields but those that it names.
func closed(s map[string]any) map[string]any {
	out := map[string]any{}
	for key, v := range s {
		switch {
		case strings.HasPrefix(key, "x-kubernetes-"), key == "format", key == "nullable":
			// Kubernetes' own, or of OpenAPI.
		case key == "items":
			out[key] = closedValue(v)
		case key == "properties":
			fields := map[string]any{}
			if named, ok := v.(map[string]any); ok {
				for name, f := range named {
					fields[name] = closedValue(f)
				}
			}
			out[key] = fields
		default:
			out[key] = v
		}
	}
	if _, ok := s["properties"]; ok && s["x-kubernetes-preserve-unknown-fields"] != true {
		out["additionalProperties"] = false
	}
	if s["x-kubernetes-list-type"] == "set" {
		out["uniqueItems"] = true
	}
	return out
}

func closedValue(v any) any {
	if m, ok := v.(map[string]any); ok {
		return closed(m)
	}
	return v
}
