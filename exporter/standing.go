package exporter

import (
	"strings"

	xpv1 "github.com/crossplane/crossplane-runtime/v2/apis/common/v1"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/fn/status"
)

// A standing is how a ServiceConnection, or what Crossplane made of one that is a claim,
// stands: all of it that the metrics tell.
type standing struct {
	metav1.ObjectMeta

	// claim whose standing it is.
	claim types.NamespacedName

	// connections by their type and reason, and notes and warnings by their reason.
	connections []connectionStanding
	notes       []string

	// unsynced and stalled are the reasons of Crossplane's condition Synced that is False,
	// and of Stalled that is True; empty where they aren't.
	unsynced, stalled string

	paused bool

	// deleted is when somebody asked for that, in seconds since 1970; 0 for never.
	deleted int64

	// restarts are services whose pods somebody has to restart, and superseded the notes of
	// what is kept for pods that are older than their injection.
	restarts, superseded int
}

type connectionStanding struct{ typ, reason string }

// GetObjectKind is none: it has no kind of its own.
func (*standing) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject is itself, since nothing in it ever changes.
func (s *standing) DeepCopyObject() runtime.Object { return s }

// read a ServiceConnection as decoded JSON.
func read(object map[string]any) *standing {
	s := readCrossplane(object)
	for _, c := range decoded.Objects(object, "status", "conditions") {
		if decoded.Text(c, "type") == status.Stalled && decoded.Text(c, "status") == "True" {
			s.stalled = decoded.Text(c, "reason")
		}
	}
	for _, service := range decoded.Objects(object, "status", "services") {
		s.readService(service)
	}
	return s
}

func (s *standing) readService(service map[string]any) {
	if decoded.Text(service, "restart") != "" {
		s.restarts++
	}
	for _, c := range decoded.Objects(service, "connections") {
		s.connections = append(s.connections, connectionStanding{shared(decoded.Text(c, "type")), shared(decoded.Text(c, "reason"))})
		for _, w := range decoded.Objects(c, "warnings") {
			s.notes = append(s.notes, shared(decoded.Text(w, "reason")))
		}
	}
	rollout := decoded.Object(service, "rollout")
	for _, n := range decoded.Objects(service, "notes") {
		reason := decoded.Text(n, "reason")
		s.notes = append(s.notes, shared(reason))
		// Without such pods it is kept because the claim says so, and for as long.
		if reason == string(connection.Superseded) && rollout != nil && rollout["current"] != true {
			s.superseded++
		}
	}
}

// readComposite reads what Crossplane made of a claim: only what the claim doesn't tell. Of
// one that somebody made without a claim nothing else tells.
func readComposite(object map[string]any) *standing {
	claim := types.NamespacedName{
		Namespace: decoded.Text(object, "spec", "claimRef", "namespace"),
		Name:      decoded.Text(object, "spec", "claimRef", "name"),
	}
	if claim.Name == "" {
		return read(object)
	}
	s := readCrossplane(object)
	s.claim = claim
	return s
}

// readCrossplane reads what Crossplane says of any object of its own.
func readCrossplane(object map[string]any) *standing {
	u := unstructured.Unstructured{Object: object}
	s := &standing{
		ObjectMeta: metav1.ObjectMeta{Namespace: u.GetNamespace(), Name: u.GetName(), ResourceVersion: u.GetResourceVersion()},
		claim:      types.NamespacedName{Namespace: u.GetNamespace(), Name: u.GetName()},
		paused:     meta.IsPaused(&u),
	}
	if at := u.GetDeletionTimestamp(); at != nil {
		s.deleted = at.Unix()
	}
	for _, c := range decoded.Objects(object, "status", "conditions") {
		if decoded.Text(c, "type") != "Synced" || decoded.Text(c, "status") != "False" {
			continue
		}
		if reason := shared(decoded.Text(c, "reason")); reason == string(xpv1.ReasonReconcilePaused) {
			s.paused = true
		} else {
			s.unsynced = reason
		}
	}
	return s
}

// shared copy of a text, so that what is kept doesn't hold on to the object that it is from.
func shared(s string) string { return strings.Clone(s) }
