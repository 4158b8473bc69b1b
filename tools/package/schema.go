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

// schemaURL in a release, which files name to their readers' editors (plugin/porter).
func schemaURL(version string) string {
	return source + "/releases/download/" + version + "/" + schemaFile
}

// writeSchema of ServiceConnection for editors.
func writeSchema(o options, m manifests) error {
	schema, err := jsonSchema(m.files["configuration/definition.yaml"].content, m.version)
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
func jsonSchema(definition []byte, release string) (map[string]any, error) {
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
	schema, err := closed(version.Schema.OpenAPIV3Schema)
	if err != nil {
		return nil, fmt.Errorf("version %s of the CompositeResourceDefinition: %w", version.Name, err)
	}
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("version %s of the CompositeResourceDefinition has no fields", version.Name)
	}
	properties["apiVersion"] = map[string]any{"const": d.Spec.Group + "/" + version.Name}
	properties["kind"] = map[string]any{"const": d.Spec.Names.Kind}
	// Kubernetes' own, of which these are what people write.
	text := map[string]any{"type": "string"}
	texts := map[string]any{"type": "object", "additionalProperties": text}
	properties["metadata"] = map[string]any{"type": "object", "properties": map[string]any{
		"name": text, "generateName": text, "namespace": text, "labels": texts, "annotations": texts,
	}}
	// Nobody writes it by hand.
	properties["status"] = map[string]any{"type": "object"}
	if spec, ok := properties["spec"].(map[string]any); ok {
		// Crossplane adds fields to it.
		delete(spec, "additionalProperties")
	}
	schema["required"] = []any{"apiVersion", "kind", "metadata", "spec"}
	schema["$schema"] = "http://json-schema.org/draft-07/schema#"
	schema["$id"] = schemaURL(release)
	schema["title"] = d.Spec.Names.Kind
	return schema, nil
}

// closed is a structural schema in the words of JSON schema, in which an object has no
// fields but those that it names, unless it keeps others too.
func closed(s map[string]any) (map[string]any, error) {
	out := map[string]any{}
	for key, v := range s {
		var err error
		switch key {
		case "items", "additionalProperties", "not":
			out[key], err = closedValue(v)
		case "properties":
			out[key], err = closedFields(v)
		case "allOf", "anyOf", "oneOf":
			out[key], err = closedList(v)
		case "x-kubernetes-list-type":
			if v == "set" {
				out["uniqueItems"] = true
			}
		case "format", "nullable", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string",
			"x-kubernetes-list-map-keys", "x-kubernetes-map-type", "x-kubernetes-validations":
			// OpenAPI's or Kubernetes' own. What an editor can check of them follows.
		default:
			if strings.HasPrefix(key, "x-") {
				err = fmt.Errorf("nothing turns %s into JSON schema", key)
			}
			out[key] = v
		}
		if err != nil {
			return nil, err
		}
	}
	typed(out, s)
	return out, nil
}

// typed says in the words of JSON schema what a structural schema's own words do about the
// type of a value.
func typed(out, s map[string]any) {
	if _, ok := s["properties"]; ok && s["x-kubernetes-preserve-unknown-fields"] != true {
		out["additionalProperties"] = false
	}
	if s["x-kubernetes-int-or-string"] == true {
		// A structural schema has no type there.
		out["type"] = []any{"integer", "string"}
	}
	if typ, ok := out["type"].(string); ok && s["nullable"] == true {
		out["type"] = []any{typ, "null"}
	}
}

// closedValue is a schema, or else a word about all.
func closedValue(v any) (any, error) {
	if m, ok := v.(map[string]any); ok {
		return closed(m)
	}
	return v, nil
}

func closedFields(v any) (map[string]any, error) {
	fields := map[string]any{}
	named, _ := v.(map[string]any)
	for name, f := range named {
		var err error
		if fields[name], err = closedValue(f); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return fields, nil
}

func closedList(v any) ([]any, error) {
	list, _ := v.([]any)
	out := make([]any, len(list))
	for i, s := range list {
		var err error
		if out[i], err = closedValue(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}
