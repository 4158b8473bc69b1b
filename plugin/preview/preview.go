// Package preview says what a ServiceConnection will do before it is applied. It
// runs the function itself, on files in place of a cluster: once on what the files
// hold, and then on what there would be if Kubernetes, the providers and the clouds
// did all that is asked of them. What still blocks then is for the team to mend.
package preview

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// Input of a preview.
type Input struct {
	// Claim is a ServiceConnection, or an XServiceConnection.
	Claim map[string]any

	// Claims says that the cluster has package/configuration-claims, in which a
	// ServiceConnection is the claim of an XServiceConnection.
	Claims bool

	// Namespace of a claim that names none.
	Namespace string

	// Step is the function's Input.
	Step map[string]any

	// Objects that are in the cluster: composed resources, and all else that the
	// function may ask for.
	Objects []map[string]any

	// Workloads whose pods are to be shown before and after.
	Workloads []map[string]any
}

// An Outcome of a connection.
type Outcome string

// The outcomes, from best to worst.
const (
	// Connected is ready by the objects that the files hold.
	Connected Outcome = "Connected"
	// Pending needs nothing from the team: it is ready once all is made that is
	// asked for.
	Pending Outcome = "Pending"
	// Failed would not connect.
	Failed Outcome = "Failed"
)

// A Result of a preview.
type Result struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`

	// Outcome is the worst of all connections, and Failed for any mistake.
	Outcome Outcome `json:"outcome"`

	// Mistakes in the claim, each with its field.
	Mistakes []string `json:"mistakes,omitempty"`

	Services []Service `json:"services"`

	// Assumed are objects that no file holds, and that must be there.
	Assumed []string `json:"assumed,omitempty"`

	// Composed resources as they are first applied.
	Composed []map[string]any `json:"composed"`

	// Workloads and what their pods get.
	Workloads []Workload `json:"workloads,omitempty"`
}

// A Service and its connections.
type Service struct {
	Name               string          `json:"name"`
	ServiceAccountName string          `json:"serviceAccountName"`
	Workload           *claim.Workload `json:"workload"`
	Connections        []Connection    `json:"connections"`
	Notes              []claim.Note    `json:"notes,omitempty"`

	// Injection of the service's pods, nil where they get nothing.
	Injection *claim.Injection `json:"injection,omitempty"`
}

// A Connection and how it would stand.
type Connection struct {
	Type     claim.ConnectionType `json:"type"`
	Name     string               `json:"name,omitempty"`
	Outcome  Outcome              `json:"outcome"`
	Reason   string               `json:"reason"`
	Message  string               `json:"message,omitempty"`
	Identity string               `json:"identity,omitempty"`
	Warnings []claim.Note         `json:"warnings,omitempty"`
}

// id of the connection in its service.
func (c *Connection) id() claim.ConnectionID {
	return claim.ConnectionID{Type: c.Type, Name: c.Name}
}

// Run a preview. An error says that the function can't read the claim or the
// settings at all.
func Run(ctx context.Context, in Input) (*Result, error) {
	c, err := newCluster(in)
	if err != nil {
		return nil, err
	}
	first, err := c.reconcile(ctx)
	if err != nil {
		return nil, err
	}
	last, err := c.settle(ctx, first)
	if err != nil {
		return nil, err
	}
	mistakes, err := c.mistakes(ctx)
	if err != nil {
		return nil, err
	}
	r := &Result{Namespace: c.namespace, Name: c.name, Outcome: Connected, Mistakes: mistakes, Assumed: c.assumed}
	for i, s := range last.status.Services {
		out := Service{Name: s.Name, ServiceAccountName: s.ServiceAccountName, Workload: s.Workload, Injection: s.Injection, Notes: notesOf(in, s)}
		for j, l := range s.Connections {
			conn := c.outcome(first.status.Services[i].Connections[j], l)
			r.Outcome = worse(r.Outcome, conn.Outcome)
			out.Connections = append(out.Connections, conn)
		}
		r.Services = append(r.Services, out)
	}
	if len(r.Mistakes) > 0 {
		r.Outcome = Failed
	}
	r.Composed = first.composed
	r.Workloads, err = showWorkloads(in.Workloads, c.namespace, c.name, last.status.Services)
	return r, err
}

// outcome of a connection, from how it stands by the files, and how it would stand
// in the end.
func (c *cluster) outcome(first, last claim.ConnectionStatus) Connection {
	out := Connection{Type: last.Type, Name: last.Name, Identity: last.Identity, Warnings: last.Warnings}
	switch {
	case first.Ready && last.Ready:
		out.Outcome, out.Reason, out.Message = Connected, last.Reason, last.Message
	case last.Ready:
		out.Outcome, out.Reason, out.Message = Pending, first.Reason, first.Message
	case c.waits(connection.Reason(last.Reason)):
		out.Outcome, out.Reason, out.Message = Pending, last.Reason, last.Message
	default:
		out.Outcome, out.Reason, out.Message = Failed, last.Reason, last.Message
	}
	return out
}

// waits says whether a reason will pass without the team. That of a ServiceAccount
// which no file holds can't be told.
func (c *cluster) waits(r connection.Reason) bool {
	return r == connection.Creating || r == connection.ServiceAccountNotAnnotated && c.assumedServiceAccount
}

func worse(a, b Outcome) Outcome {
	order := []Outcome{Connected, Pending, Failed}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}

// notesOf a service, without that its workload isn't there where no file was to
// hold it.
func notesOf(in Input, s claim.ServiceStatus) []claim.Note {
	return slices.DeleteFunc(slices.Clone(s.Notes), func(n claim.Note) bool {
		return n.Reason == string(connection.WorkloadNotFound) && len(in.Workloads) == 0
	})
}

// IsClaim says whether an object is one that a preview is of.
func IsClaim(o map[string]any) bool {
	u := unstructured.Unstructured{Object: o}
	return u.GetAPIVersion() == apiVersion && (u.GetKind() == kindClaim || u.GetKind() == kindComposite)
}

const (
	apiVersion    = "serviceconnections.io/v1alpha1"
	kindClaim     = "ServiceConnection"
	kindComposite = "XServiceConnection"
)

// Step is the function's Input from a file of settings: the Input itself; the
// Composition that has it; an EnvironmentConfig, which the Input would name; or
// bare settings.
func Step(objects []map[string]any) (map[string]any, error) {
	if len(objects) == 0 {
		return nil, errors.New("there are no settings in it; it must hold an EnvironmentConfig, the function's Input, or the settings themselves")
	}
	var step map[string]any
	for _, o := range objects {
		u := unstructured.Unstructured{Object: o}
		switch {
		case u.GetKind() == "Input":
			step = o
		case u.GetKind() == "Composition":
			step = ofComposition(o)
		case u.GetKind() == "EnvironmentConfig" && step == nil:
			step = map[string]any{"settingsFrom": map[string]any{"environmentConfig": map[string]any{"name": u.GetName()}}}
		case u.GetKind() == "" && u.GetAPIVersion() == "":
			step = map[string]any{"settings": o}
		}
	}
	if step == nil {
		return nil, fmt.Errorf("it holds %s %q; it must hold an EnvironmentConfig, the function's Input, or the settings themselves", objects[0]["kind"], (&unstructured.Unstructured{Object: objects[0]}).GetName())
	}
	return step, nil
}

// ofComposition is the Input of the function's step, nil where there is none.
func ofComposition(o map[string]any) map[string]any {
	pipeline, _, _ := unstructured.NestedSlice(o, "spec", "pipeline")
	for _, v := range pipeline {
		step, _ := v.(map[string]any)
		if input, _ := step["input"].(map[string]any); input["kind"] == "Input" {
			return input
		}
	}
	return nil
}
