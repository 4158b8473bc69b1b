package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/e2e/fleet"
)

// The functions that a platform team would otherwise use, as tools/ pins them.
const (
	patchAndTransform = "function-patch-and-transform"
	autoReady         = "function-auto-ready"
)

// An implementation of ServiceConnections: what the pipeline of the XRD's Composition
// calls.
type implementation struct {
	name string

	// functions that run for it.
	functions []string

	// start one of them.
	start func(ctx context.Context, cp *controlplane.ControlPlane, name string) error

	// pipeline for claims of a shape: the same services with the same connections in
	// the same order.
	pipeline func(root string, shape fleet.Claim) ([]any, error)

	// tells says that a claim's status tells what comes of each connection.
	tells bool
}

var ours = &implementation{
	name:      controlplane.FunctionBinary,
	functions: []string{controlplane.FunctionName},
	start: func(ctx context.Context, cp *controlplane.ControlPlane, name string) error {
		return cp.StartFunction(ctx, name, controlplane.FunctionBinary, "--metrics-address=")
	},
	pipeline: func(root string, _ fleet.Claim) ([]any, error) {
		b, err := os.ReadFile(filepath.Join(root, "package", "configuration", "composition.yaml"))
		if err != nil {
			return nil, fmt.Errorf("cannot read Composition: %w", err)
		}
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(b, &u.Object); err != nil {
			return nil, fmt.Errorf("cannot parse Composition: %w", err)
		}
		steps, _, err := unstructured.NestedSlice(u.Object, "spec", "pipeline")
		if err != nil {
			return nil, fmt.Errorf("cannot read Composition: %w", err)
		}
		return steps, nil
	},
	tells: true,
}

// theirs composes the same. It is for claims of one shape, since patches can't loop; and
// it does without what it has nothing for: allow-lists, trust policies, who may have whose
// grant, what is kept and superseded, the injection, and a status that tells anything of a
// connection. The role's ARN and the identity's client id go through the pipeline's
// environment, as the XRD's status has no fields for them.
var theirs = &implementation{
	name:      patchAndTransform,
	functions: []string{patchAndTransform, autoReady},
	start: func(ctx context.Context, cp *controlplane.ControlPlane, name string) error {
		return cp.StartOtherFunction(ctx, name)
	},
	pipeline: func(_ string, shape fleet.Claim) ([]any, error) {
		input, err := peerInput(shape)
		if err != nil {
			return nil, err
		}
		return []any{
			map[string]any{"step": "compose", "functionRef": map[string]any{"name": patchAndTransform}, "input": input},
			map[string]any{"step": "ready", "functionRef": map[string]any{"name": autoReady}},
		}, nil
	},
}

var implementations = []*implementation{ours, theirs}

//go:embed peer.yaml.tmpl
var peerTemplate string

// peerInput of function-patch-and-transform for claims of a shape.
func peerInput(shape fleet.Claim) (map[string]any, error) {
	t, err := template.New("peer").Parse(peerTemplate)
	if err != nil {
		return nil, fmt.Errorf("cannot parse the peer's template: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, map[string]any{
		"Claim": shape.Object().Object, "Issuer": controlplane.Issuer, "Account": cloud.AccountID, "Subscription": subscription,
	}); err != nil {
		return nil, fmt.Errorf("cannot write the peer's input: %w", err)
	}
	input := map[string]any{}
	if err := yaml.Unmarshal(b.Bytes(), &input); err != nil {
		return nil, fmt.Errorf("cannot parse the peer's input: %w:\n%s", err, &b)
	}
	return input, nil
}

// use an implementation from now on, for claims of a shape. Crossplane and its functions
// start anew, so that each has the same past. No claim may be there.
func (m *measurement) use(ctx context.Context, i *implementation, shape fleet.Claim) error {
	m.StopCrossplane()
	for _, other := range implementations {
		for _, name := range other.functions {
			m.StopFunction(name)
		}
	}
	for _, name := range i.functions {
		if err := i.start(ctx, m.ControlPlane, name); err != nil {
			return err
		}
	}
	steps, err := i.pipeline(m.Root, shape)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"compositeTypeRef": map[string]any{"apiVersion": "serviceconnections.io/v1alpha1", "kind": "ServiceConnection"},
		"mode":             "Pipeline",
		"pipeline":         steps,
	}}}
	u.SetAPIVersion("apiextensions.crossplane.io/v1")
	u.SetKind("Composition")
	u.SetName("serviceconnections")
	if err := m.Apply(ctx, u); err != nil {
		return err
	}
	if err := m.StartCrossplane(ctx); err != nil {
		return err
	}
	return m.awaitRevision(ctx, steps)
}

// awaitRevision of the Composition that is the newest and has these steps.
func (m *measurement) awaitRevision(ctx context.Context, steps []any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not within %s", readyTimeout))
	defer cancel()
	return controlplane.Poll(ctx, func(ctx context.Context) error {
		l := &unstructured.UnstructuredList{}
		l.SetAPIVersion("apiextensions.crossplane.io/v1")
		l.SetKind("CompositionRevisionList")
		if err := m.Client.List(ctx, l, client.MatchingLabels{"crossplane.io/composition-name": "serviceconnections"}); err != nil {
			return fmt.Errorf("cannot list CompositionRevisions: %w", err)
		}
		var newest *unstructured.Unstructured
		revision := int64(0)
		for n := range l.Items {
			if r, _, _ := unstructured.NestedInt64(l.Items[n].Object, "spec", "revision"); r > revision {
				newest, revision = &l.Items[n], r
			}
		}
		if newest == nil {
			return errors.New("the Composition has no revision")
		}
		has, _, _ := unstructured.NestedSlice(newest.Object, "spec", "pipeline")
		if len(has) != len(steps) || stepOf(has) != stepOf(steps) || inputOf(has) != inputOf(steps) {
			return fmt.Errorf("revision %d of the Composition, the newest, isn't what was applied", revision)
		}
		return m.HasCondition(ctx, newest.GetAPIVersion(), newest.GetKind(), "", newest.GetName(), "ValidPipeline")
	})
}

// stepOf a pipeline that is its first.
func stepOf(steps []any) string {
	s, _ := steps[0].(map[string]any)
	name, _ := s["step"].(string)
	return name
}

// inputOf a pipeline's first step, as text.
func inputOf(steps []any) string {
	s, _ := steps[0].(map[string]any)
	b, err := yaml.Marshal(s["input"])
	if err != nil {
		return err.Error()
	}
	return string(b)
}
