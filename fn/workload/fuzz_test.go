package workload

import (
	"encoding/json"
	"testing"
)

// FuzzInject gives whatever JSON a pipeline may hold where a workload should be.
// Nothing of it may panic.
func FuzzInject(f *testing.F) {
	for _, s := range []string{
		`{}`,
		`{"spec": null}`,
		`{"metadata": 1, "spec": {"containers": [null, 1, {"name": 1, "env": {}}], "volumes": "a"}}`,
		`{"metadata": {"labels": [], "annotations": {"serviceconnections.io/injected": "{\"env\":{\"a\":[\"A\"]}}"}}, "spec": {"containers": [{"name": "a", "env": [{"name": "A"}, null]}]}}`,
		`{"metadata": {"annotations": {"serviceconnections.io/injected": "{\"fsGroup\":true,\"serviceAccount\":\"\"}"}}}`,
		`{"spec": {"securityContext": [], "initContainers": {"a": 1}, "containers": [{"name": "app", "volumeMounts": [{"mountPath": 3}], "ports": [{"containerPort": "x"}, {"containerPort": 1e300}]}]}}`,
		`{"spec": {"template": {"spec": {"containers": [{"name": "app"}]}}}}`,
		`{"spec": {"jobTemplate": {"spec": {"template": {"spec": {}}}}}}`,
	} {
		f.Add([]byte(s))
	}
	in, err := Merge(tokenInjection("aws-iam-token", "sts.amazonaws.com"), injections()[2], proxyInjection(5432), injections()[5])
	if err != nil {
		f.Fatal(err)
	}
	in = withServiceAccount(in)
	f.Fuzz(func(t *testing.T, b []byte) {
		var obj map[string]any
		if json.Unmarshal(b, &obj) != nil {
			return
		}
		for _, k := range kinds {
			template, ok := k.Template(obj)
			if !ok {
				continue
			}
			before := hash(template)
			Inspect(template, in, service)
			if hash(template) != before {
				t.Fatal("Inspect changed the template")
			}
			one, other := injectedInto(template, in), injectedInto(template, in)
			if hash(one) != hash(other) {
				t.Fatal("the same input gives another output")
			}
			Inspect(one, in, service)
			Remove(one)
			k.TemplateHash(obj)
		}
	})
}
