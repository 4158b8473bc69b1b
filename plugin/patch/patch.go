// Package patch writes a published injection as a file, for clusters without the
// admission policy. It asks the function's own code what the injection makes of
// the workload, and writes the difference, so that a patched workload is what the
// function would have made of it.
package patch

import (
	"encoding/json"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// typed objects of the workload kinds, which know how each list is merged.
var typed = map[string]any{
	"Deployment":  appsv1.Deployment{},
	"StatefulSet": appsv1.StatefulSet{},
	"DaemonSet":   appsv1.DaemonSet{},
	"ReplicaSet":  appsv1.ReplicaSet{},
	"Job":         batchv1.Job{},
	"CronJob":     batchv1.CronJob{},
	"Pod":         corev1.Pod{},
}

// Strategic merge patch of a workload as it is, as kubectl patch takes it. It keeps
// the order of lists, in which the sidecar goes before all init containers, and
// takes away what an earlier patch put there and the injection hasn't got any more.
func Strategic(o map[string]any, injection claim.Injection) (map[string]any, error) {
	patch, _, err := difference(o, injection, func(map[string]any) {})
	return patch, err
}

// difference that an injection makes to a workload, which is prepared before, and
// the workload after it.
func difference(o map[string]any, injection claim.Injection, prepare func(template map[string]any)) (patch, after map[string]any, err error) {
	u := &unstructured.Unstructured{Object: o}
	kind, ok := workload.KindOf(u.GetAPIVersion(), u.GetKind())
	if !ok {
		return nil, nil, fmt.Errorf("%s is no kind of workload that a service may have", u.GetKind())
	}
	dataStruct, ok := typed[u.GetKind()]
	if !ok {
		return nil, nil, fmt.Errorf("%s %q is a custom resource, whose lists a patch would replace; add to its pod template by hand what -o helm-values prints", u.GetKind(), u.GetName())
	}
	before := runtime.DeepCopyJSON(o)
	after = runtime.DeepCopyJSON(o)
	template, ok := kind.Template(before)
	if !ok {
		return nil, nil, fmt.Errorf("%s %q has no pod template", u.GetKind(), u.GetName())
	}
	prepare(template)
	template, _ = kind.Template(after)
	workload.Inject(template, injection)

	var documents [2][]byte
	for i, v := range []any{before, after} {
		if documents[i], err = json.Marshal(v); err != nil {
			return nil, nil, fmt.Errorf("cannot encode %s %q: %w", u.GetKind(), u.GetName(), err)
		}
	}
	encoded, err := strategicpatch.CreateTwoWayMergePatch(documents[0], documents[1], dataStruct)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot compare %s %q: %w", u.GetKind(), u.GetName(), err)
	}
	patch = map[string]any{}
	if err := utiljson.Unmarshal(encoded, &patch); err != nil {
		return nil, nil, fmt.Errorf("cannot read the patch of %s %q: %w", u.GetKind(), u.GetName(), err)
	}
	p := &unstructured.Unstructured{Object: patch}
	p.SetAPIVersion(u.GetAPIVersion())
	p.SetKind(u.GetKind())
	p.SetName(u.GetName())
	return patch, after, nil
}

// Kustomize component that patches a workload as it is written, before any patch.
// Kustomize puts what a patch has of a list before the rest, so the patch names all
// containers, and the sidecar before all others.
func Kustomize(o map[string]any, injection claim.Injection) (map[string]any, error) {
	patch, after, err := difference(o, injection, workload.Remove)
	if err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(withoutOrder(nameContainers(patch, after)))
	if err != nil {
		return nil, fmt.Errorf("cannot encode the patch: %w", err)
	}
	u := &unstructured.Unstructured{Object: o}
	gvk := schema.FromAPIVersionAndKind(u.GetAPIVersion(), u.GetKind())
	target := map[string]any{"version": gvk.Version, "kind": gvk.Kind, "name": u.GetName()}
	if gvk.Group != "" {
		target["group"] = gvk.Group
	}
	return map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1alpha1",
		"kind":       "Component",
		"patches":    []any{map[string]any{"target": target, "patch": string(text)}},
	}, nil
}

// nameContainers of a workload in its patch, in their order, where it has any of
// them.
func nameContainers(patch, after map[string]any) map[string]any {
	u := unstructured.Unstructured{Object: after}
	kind, _ := workload.KindOf(u.GetAPIVersion(), u.GetKind())
	patched, _ := kind.Template(patch)
	template, _ := kind.Template(after)
	for _, field := range []string{"initContainers", "containers"} {
		some, _, _ := unstructured.NestedSlice(patched, "spec", field)
		all, _, _ := unstructured.NestedSlice(template, "spec", field)
		if len(some) == 0 {
			continue
		}
		for i, v := range all {
			named, _ := v.(map[string]any)
			all[i] = map[string]any{"name": named["name"]}
			for _, v := range some {
				if p, _ := v.(map[string]any); p["name"] == named["name"] {
					all[i] = p
				}
			}
		}
		spec, _ := patched["spec"].(map[string]any)
		spec[field] = all
	}
	return patch
}

// withoutOrder copies a patch without the directives about the order of lists,
// which only the API server's own merge knows.
func withoutOrder(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			if !strings.HasPrefix(k, "$setElementOrder/") {
				m[k] = withoutOrder(e)
			}
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = withoutOrder(e)
		}
		return l
	default:
		return v
	}
}

// HelmValues by the names that many charts have. Charts differ in them, so a
// reader must compare.
func HelmValues(injection claim.Injection) map[string]any {
	injection = workload.Shared(injection)
	values := map[string]any{
		"serviceAccount": map[string]any{"create": false, "name": injection.ServiceAccountName},
		"podAnnotations": workload.Annotations(injection),
	}
	if len(injection.Labels) > 0 {
		values["podLabels"] = injection.Labels
	}
	if injection.FSGroup != nil {
		values["podSecurityContext"] = map[string]any{"fsGroup": *injection.FSGroup}
	}
	if len(injection.Env) > 0 {
		values["extraEnv"] = injection.Env
	}
	if len(injection.Volumes) > 0 {
		values["extraVolumes"] = injection.Volumes
	}
	if len(injection.VolumeMounts) > 0 {
		values["extraVolumeMounts"] = injection.VolumeMounts
	}
	if len(injection.InitContainers) > 0 {
		values["extraInitContainers"] = injection.InitContainers
	}
	return values
}
