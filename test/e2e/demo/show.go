package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// examples that the demo shows, each as a team in a namespace of that name.
var examples = []string{"awsrole", "awsrole-create", "azuremanagedidentity", "cloudsql", "disk", "gcpserviceaccount", "two-connections", "all-together", "several"}

// show what teams do, and what comes of it.
func (d *demo) show(ctx context.Context) error {
	d.headingf("Teams apply their claims and Deployments, in one go")
	for _, name := range examples {
		if err := d.applyExample(ctx, name); err != nil {
			return err
		}
	}
	if err := d.awaitReady(ctx); err != nil {
		return err
	}
	d.headingf("What they read")
	if err := d.printKubectl(ctx, "get", "serviceconnections", "-A", "-o", "wide"); err != nil {
		return err
	}
	d.headingf("What is composed for the service with two connections")
	if err := d.printKubectl(ctx, "-n", "two-connections", "get", "roles.iam.aws.m.upbound.io,podidentityassociations.eks.aws.m.upbound.io,serviceaccounts,persistentvolumeclaims"); err != nil {
		return err
	}
	if err := d.restart(ctx, "two-connections"); err != nil {
		return err
	}
	d.headingf("Its pod, which nobody patched by hand: the Deployment's template, and what the API server let in")
	return d.printPod(ctx, "two-connections")
}

// restart a workload whose pods are older than their injection, as its status
// says: claim and Deployment came in one go.
func (d *demo) restart(ctx context.Context, namespace string) error {
	u, err := d.Get(ctx, "serviceconnections.io/v1alpha1", "ServiceConnection", namespace, "shop")
	if err != nil || u == nil {
		return errors.Join(err, fmt.Errorf("example %s is gone", namespace))
	}
	services, _, _ := unstructured.NestedSlice(u.Object, "status", "services")
	for _, v := range services {
		s, _ := v.(map[string]any)
		command, _ := s["restart"].(string)
		args, ok := strings.CutPrefix(command, "kubectl ")
		if !ok {
			continue
		}
		d.headingf("Its pod is older than its injection, and the status says what to run: %s", command)
		if err := d.printKubectl(ctx, strings.Fields(args)...); err != nil {
			return err
		}
	}
	return nil
}

// applyExample in a namespace of its name.
func (d *demo) applyExample(ctx context.Context, name string) error {
	if err := d.ApplyYAML(ctx, fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", name)); err != nil {
		return err
	}
	for _, file := range []string{"required.yaml", "deployment.yaml", "xr.yaml"} {
		b, err := os.ReadFile(filepath.Join(d.root, "example", name, file))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot read example: %w", err)
		}
		objects, err := controlplane.Parse(string(b))
		if err != nil {
			return fmt.Errorf("cannot parse example %s: %w", name, err)
		}
		for _, o := range objects {
			if file == "required.yaml" && name == "all-together" {
				continue // The volume claim that is created here for real.
			}
			o.SetNamespace(name)
			delete(o.Object, "status")
			if err := d.Apply(ctx, o); err != nil {
				return err
			}
			if o.GetKind() == "ServiceConnection" {
				d.linef("applied example/%s", name)
			}
		}
	}
	return nil
}

// awaitReady examples, and print each change of how they stand.
func (d *demo) awaitReady(ctx context.Context) error {
	d.headingf("How they stand")
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not ready after %s", readyTimeout))
	defer cancel()
	printed := map[string]string{}
	return controlplane.Poll(ctx, func(ctx context.Context) error {
		var waiting []error
		for _, name := range examples {
			u, err := d.Get(ctx, "serviceconnections.io/v1alpha1", "ServiceConnection", name, "shop")
			if err != nil || u == nil {
				return errors.Join(err, fmt.Errorf("example %s is gone", name))
			}
			line := stands(u.Object)
			if line != printed[name] && line != "" {
				printed[name] = line
				d.linef("%-22s %s", name, line)
			}
			if err := d.HasCondition(ctx, u.GetAPIVersion(), u.GetKind(), name, "shop", "Ready"); err != nil {
				waiting = append(waiting, err)
			}
		}
		return errors.Join(waiting...)
	})
}

// stands says how a claim stands, in one line.
func stands(claim map[string]any) string {
	status, _ := claim["status"].(map[string]any)
	connected, _ := status["connected"].(string)
	conditions, _ := status["conditions"].([]any)
	for _, v := range conditions {
		if c, _ := v.(map[string]any); c["type"] == "Connected" && c["status"] != "True" {
			return fmt.Sprintf("%s  %v", connected, c["message"])
		}
	}
	return connected
}

// printPod of a Deployment, as the difference between its template and what the
// API server let in.
func (d *demo) printPod(ctx context.Context, namespace string) error {
	pods := &unstructured.UnstructuredList{}
	pods.SetAPIVersion("v1")
	pods.SetKind("PodList")
	if err := controlplane.Poll(ctx, func(ctx context.Context) error {
		if err := d.Client.List(ctx, pods, client.InNamespace(namespace)); err != nil {
			return fmt.Errorf("cannot list pods: %w", err)
		}
		pods.Items = slices.DeleteFunc(pods.Items, func(p unstructured.Unstructured) bool {
			return p.GetAnnotations()["serviceconnections.io/injected-by"] == ""
		})
		if len(pods.Items) == 0 {
			return fmt.Errorf("no injected pod in namespace %q", namespace)
		}
		return nil
	}); err != nil {
		return err
	}
	deployment, err := d.Get(ctx, "apps/v1", "Deployment", namespace, "api")
	if err != nil {
		return err
	}
	template, _, _ := unstructured.NestedMap(deployment.Object, "spec", "template")
	before, err := essence(template)
	if err != nil {
		return err
	}
	after, err := essence(pods.Items[0].Object)
	if err != nil {
		return err
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: difflib.SplitLines(before), FromFile: "template of Deployment api",
		B: difflib.SplitLines(after), ToFile: "pod " + pods.Items[0].GetName(),
		Context: 100, // All of it.
	})
	if err != nil {
		return fmt.Errorf("cannot compare pod: %w", err)
	}
	d.linef("%s", strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  "))
	return nil
}

// essence of a pod or template: what a team writes, without what the API server
// adds to every pod.
func essence(pod map[string]any) (string, error) {
	spec, _ := pod["spec"].(map[string]any)
	out := map[string]any{}
	metadata, _ := pod["metadata"].(map[string]any)
	for _, k := range []string{"labels", "annotations"} {
		if v, ok := metadata[k]; ok {
			out[k] = v
		}
	}
	for _, k := range []string{"serviceAccountName", "initContainers", "containers", "volumes"} {
		items, ok := spec[k].([]any)
		if !ok {
			if spec[k] != nil {
				out[k] = spec[k]
			}
			continue
		}
		var kept []any
		for _, v := range items {
			item, _ := v.(map[string]any)
			if name, _ := item["name"].(string); strings.HasPrefix(name, "kube-api-access-") {
				continue
			}
			kept = append(kept, onlyWritten(item))
		}
		if kept != nil {
			out[k] = kept
		}
	}
	b, err := yaml.Marshal(out)
	if err != nil {
		return "", fmt.Errorf("cannot encode pod: %w", err)
	}
	return string(b), nil
}

// onlyWritten fields of a container or volume.
func onlyWritten(item map[string]any) map[string]any {
	out := maps.Clone(item)
	for _, k := range []string{"imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy"} {
		delete(out, k)
	}
	if r, _ := out["resources"].(map[string]any); len(r) == 0 {
		delete(out, "resources")
	}
	mounts, _ := out["volumeMounts"].([]any)
	var kept []any
	for _, v := range mounts {
		m, _ := v.(map[string]any)
		if name, _ := m["name"].(string); !strings.HasPrefix(name, "kube-api-access-") {
			kept = append(kept, m)
		}
	}
	delete(out, "volumeMounts")
	if kept != nil {
		out["volumeMounts"] = kept
	}
	return out
}
