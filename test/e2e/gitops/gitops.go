// Package gitops reads the health of an object as Argo CD and Flux do, by the engines
// that these use: gopher-lua, kstatus and cel-go.
package gitops

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
)

// A Health of an object, in the words of who tells it.
type Health struct {
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

// The statuses of Argo CD (gitops-engine/pkg/health in argo-cd v3.6.1).
const (
	Progressing = "Progressing"
	Degraded    = "Degraded"
	Healthy     = "Healthy"
	Suspended   = "Suspended"
)

// scriptTimeout is how long Argo CD lets a script run.
const scriptTimeout = time.Second

// ArgoCD says what Argo CD says of an object by a script (util/lua/lua.go and
// gitops-engine/pkg/health/health.go in argo-cd v3.6.1): it opens the base and table
// libraries only, and an object that is being deleted is Progressing, whatever the
// script says.
func ArgoCD(script string, o *unstructured.Unstructured) (Health, error) {
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		if err := l.CallByParam(lua.P{Fn: l.NewFunction(library.open), Protect: true}, lua.LString(library.name)); err != nil {
			return Health{}, fmt.Errorf("cannot open Lua's library %q: %w", library.name, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), scriptTimeout)
	defer cancel()
	l.SetContext(ctx)

	b, err := json.Marshal(o.Object)
	if err != nil {
		return Health{}, fmt.Errorf("cannot encode %s %q: %w", o.GetKind(), o.GetName(), err)
	}
	value, err := luajson.Decode(l, b)
	if err != nil {
		return Health{}, fmt.Errorf("cannot hand %s %q to Lua: %w", o.GetKind(), o.GetName(), err)
	}
	l.SetGlobal("obj", value)
	if err := l.DoString(script); err != nil {
		return Health{}, fmt.Errorf("cannot run the health script: %w", err)
	}
	if b, err = luajson.Encode(l.Get(-1)); err != nil {
		return Health{}, fmt.Errorf("cannot read what the health script returns: %w", err)
	}
	h := Health{}
	if err := json.Unmarshal(b, &h); err != nil {
		return Health{}, fmt.Errorf("cannot read what the health script returns: %w", err)
	}
	if o.GetDeletionTimestamp() != nil {
		h = Health{Status: Progressing, Message: "Pending deletion"}
	}
	return h, nil
}

// Kstatus says what kstatus says of an object, and so Flux of a kind that it has no
// expressions for.
func Kstatus(o *unstructured.Unstructured) (Health, error) {
	r, err := status.Compute(o)
	if err != nil {
		return Health{}, fmt.Errorf("cannot compute the status of %s %q: %w", o.GetKind(), o.GetName(), err)
	}
	return Health{Status: r.Status.String(), Message: r.Message}, nil
}

// Expressions by which Flux tells the health of a kind, as spec.healthCheckExprs of its
// Kustomization has them.
type Expressions struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	InProgress string `json:"inProgress,omitempty"`
	Failed     string `json:"failed,omitempty"`
	Current    string `json:"current"`
}

// Flux says what Flux says of an object by expressions (cel/status_evaluator.go and
// expression.go in fluxcd/pkg/runtime v0.103.0): an object whose generation isn't
// observed is InProgress, and then so is what no expression is true of. Where one can't
// be evaluated, the object is Unknown, and Flux goes on waiting.
func Flux(expressions Expressions, o *unstructured.Unstructured) (Health, error) {
	env, err := cel.NewEnv(
		cel.HomogeneousAggregateLiterals(), cel.EagerlyValidateDeclarations(true), cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), ext.Strings(), ext.Sets(), ext.Encoders(),
	)
	if err != nil {
		return Health{}, fmt.Errorf("cannot make an environment for CEL: %w", err)
	}
	observed, told, err := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	if err != nil {
		return Health{}, fmt.Errorf("cannot read %s %q: %w", o.GetKind(), o.GetName(), err)
	}
	if told && observed != o.GetGeneration() {
		return Health{Status: status.InProgressStatus.String()}, nil
	}
	for _, e := range []struct {
		of         status.Status
		expression string
	}{
		{status.InProgressStatus, expressions.InProgress},
		{status.FailedStatus, expressions.Failed},
		{status.CurrentStatus, expressions.Current},
	} {
		if e.expression == "" {
			continue
		}
		parsed, issues := env.Parse(e.expression)
		if issues.Err() != nil {
			return Health{}, fmt.Errorf("cannot parse %q: %w", e.expression, issues.Err())
		}
		program, err := env.Program(parsed)
		if err != nil {
			return Health{}, fmt.Errorf("cannot plan %q: %w", e.expression, err)
		}
		value, _, err := program.Eval(o.Object)
		if err != nil {
			return Health{Status: status.UnknownStatus.String(), Message: err.Error()}, nil //nolint:nilerr // It is what Flux makes of it.
		}
		if value.Value() == true {
			return Health{Status: e.of.String()}, nil
		}
	}
	return Health{Status: status.InProgressStatus.String()}, nil
}
