// Package workload applies an injection to the pods of a workload: it knows the
// kinds of workloads, joins the injections of a service's connections, says why
// a pod template can't take one, and applies it to a template that can.
//
// Objects are decoded JSON, whose numbers may be int64 or float64. The admission
// policy in package/cluster applies the same rules to pods as they are created;
// the tests under test/admission hold the two together.
package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// A Kind is a kind of workload that a service may name.
type Kind struct {
	// APIVersion and Kind as the object says them.
	APIVersion string
	Kind       string

	// Inspected says that a workload of this kind may be read in the cluster.
	// Never Pods: Crossplane would cache all of the cluster's.
	Inspected bool

	// CRD that must be established before an object of this kind is required,
	// or the whole reconcile fails. Empty for kinds that every cluster has.
	CRD string

	// template is the path of the pod template; empty where the object itself
	// is the pod.
	template []string

	// Makes is what the workload makes that controls its pods. Empty where the
	// workload controls them itself.
	Makes Maker

	// Fixed says that the template can't change once the workload exists.
	Fixed bool

	// restartedAt is the path of the field that a restart sets, where that is
	// outside the pod template.
	restartedAt []string

	// restart is the command or the advice that replaces running pods, with
	// <namespace>, <name> and <kind> to fill in. Empty where the next pod is new
	// anyway.
	restart string
}

// A Maker is an object that stands between a workload and its pods. Its name is
// the workload's, a hyphen, and what tells it from its siblings.
type Maker struct {
	// APIVersion and Kind as the pods' owner reference says them.
	APIVersion string
	Kind       string

	// Label of the pods that holds the end of the name. Where there is none, the
	// name ends in a number.
	Label string
}

// The API groups' versions of the kinds.
const (
	apps  = "apps/v1"
	batch = "batch/v1"
	core  = "v1"
	argo  = "argoproj.io/v1alpha1"
)

// podKind is the kind of a workload that is a pod.
const podKind = "Pod"

// recreate is for kinds whose template can't change, or whose controller leaves
// running pods alone.
const recreate = `recreate <kind> "<name>" in namespace "<namespace>"`

// deletePods is for those whose controller waits for it.
const deletePods = `kubectl -n <namespace> rollout restart <kinds>/<name>, then delete its pods one by one, which its updateStrategy OnDelete leaves as they are`

// resume is for those that are paused, which can't be restarted before (k8s.io/kubectl,
// pkg/polymorphichelpers/objectrestarter.go).
const resume = "kubectl -n <namespace> rollout resume <kinds>/<name>"

// scaleReplicaSet is for pods that only go when there are to be none.
const scaleReplicaSet = `kubectl -n <namespace> scale replicaset/<name> --replicas=0, then back once its pods are gone`

var podTemplate = []string{"spec", "template"}

var kinds = []Kind{
	// A Deployment's ReplicaSets are named by the hash of their pods' template
	// (kubernetes/kubernetes, pkg/controller/deployment/sync.go, getNewReplicaSet).
	{APIVersion: apps, Kind: "Deployment", Inspected: true, template: podTemplate, Makes: Maker{apps, "ReplicaSet", "pod-template-hash"}, restart: "kubectl -n <namespace> rollout restart deployment/<name>"},
	{APIVersion: apps, Kind: "StatefulSet", Inspected: true, template: podTemplate, restart: "kubectl -n <namespace> rollout restart statefulset/<name>"},
	{APIVersion: apps, Kind: "DaemonSet", Inspected: true, template: podTemplate, restart: "kubectl -n <namespace> rollout restart daemonset/<name>"},
	{APIVersion: apps, Kind: "ReplicaSet", Inspected: true, template: podTemplate, restart: scaleReplicaSet},
	{APIVersion: batch, Kind: "Job", Inspected: true, Fixed: true, template: podTemplate, restart: recreate},
	// A CronJob's Jobs are named by the minute (kubernetes/kubernetes,
	// pkg/controller/cronjob/cronjob_controllerv2.go, getJobName).
	{APIVersion: batch, Kind: "CronJob", Inspected: true, template: []string{"spec", "jobTemplate", "spec", "template"}, Makes: Maker{batch, "Job", ""}},
	{APIVersion: core, Kind: podKind, Fixed: true, restart: recreate},
	// Argo Rollouts documentation, "kubectl argo rollouts restart": it sets
	// spec.restartAt and leaves the template alone.
	{APIVersion: argo, Kind: "Rollout", Inspected: true, CRD: "rollouts.argoproj.io", template: podTemplate, Makes: Maker{apps, "ReplicaSet", "rollouts-pod-template-hash"}, restartedAt: []string{"spec", "restartAt"}, restart: "kubectl argo rollouts restart <name> -n <namespace>"},
}

// Kinds of workloads, each that there is.
func Kinds() []Kind { return slices.Clone(kinds) }

// KindOf is the kind of an object, and whether it is one that a service may
// name.
func KindOf(apiVersion, kind string) (Kind, bool) {
	for _, k := range kinds {
		if k.APIVersion == apiVersion && k.Kind == kind {
			return k, true
		}
	}
	return Kind{}, false
}

// Template is the pod template of a workload of this kind: the map within the
// object, not a copy, or the object itself for a Pod. It is false where there is
// none, or where it has no spec.
func (k Kind) Template(obj map[string]any) (map[string]any, bool) {
	template, ok := decoded.At(obj, k.template...).(map[string]any)
	if !ok || decoded.Object(template, "spec") == nil {
		return nil, false
	}
	return template, true
}

// WithTemplate is a workload of this kind with another pod template. Of a Pod,
// which is its own template, that is its metadata and spec. The object itself
// stays as it is.
func (k Kind) WithTemplate(obj, template map[string]any) map[string]any {
	out := maps.Clone(obj)
	if len(k.template) == 0 {
		maps.Copy(out, template)
		return out
	}
	within := out
	for _, field := range k.template[:len(k.template)-1] {
		child := maps.Clone(decoded.Object(within, field))
		within[field] = child
		within = child
	}
	within[k.template[len(k.template)-1]] = template
	return out
}

// Rolls says whether a change of the pod template replaces the workload's pods
// without anybody's help.
func (k Kind) Rolls(obj map[string]any) bool {
	switch k.Kind {
	case "ReplicaSet", "Job", podKind:
		return false
	default:
		return !onDelete(obj)
	}
}

// Replaces says whether the workload's controller tells pods of its template from
// those of templates before. A ReplicaSet's doesn't.
func (k Kind) Replaces() bool { return !k.Fixed && k.Kind != "ReplicaSet" }

// Runs says whether the workload makes new pods each time that it runs, and
// replaces none.
func (k Kind) Runs() bool { return k.Kind == "CronJob" }

// onDelete says whether somebody must delete a StatefulSet's or DaemonSet's pods
// to have them made anew.
func onDelete(obj map[string]any) bool {
	return decoded.At(obj, "spec", "updateStrategy", "type") == "OnDelete"
}

// Restart is the command, or where there is none the advice, that replaces the
// workload's running pods by new ones. It is empty for a CronJob, whose next run
// makes a new pod.
func (k Kind) Restart(namespace, name string, obj map[string]any) string {
	advice := k.restart
	switch {
	case onDelete(obj):
		advice = deletePods
	case k.Kind == "Deployment" && paused(obj):
		advice = resume
	case partition(obj) > 0:
		advice += fmt.Sprintf(", with 0 for the partition %d of its updateStrategy, below which pods stay as they are", partition(obj))
	}
	advice = strings.ReplaceAll(advice, "<kind>", k.Kind)
	advice = strings.ReplaceAll(advice, "<kinds>", strings.ToLower(k.Kind))
	advice = strings.ReplaceAll(advice, "<namespace>", namespace)
	return strings.ReplaceAll(advice, "<name>", name)
}

// HeldBack says whether a rollout of the workload leaves pods of the template before,
// until somebody changes its spec: it is paused, or pods of a StatefulSet are below its
// partition.
func HeldBack(obj map[string]any) bool { return paused(obj) || partition(obj) > 0 }

func paused(obj map[string]any) bool { return decoded.At(obj, "spec", "paused") == true }

func partition(obj map[string]any) int64 {
	return count(obj, "spec", "updateStrategy", "rollingUpdate", "partition")
}

// TemplateHash is a hash of all that replaces the workload's pods when it changes,
// once its controller has followed: the pod template, and for a Rollout the time
// of its last restart, or where its template is another workload's, the hash that
// its controller has of that. Scaling doesn't change it, nor does making the
// workload anew, since pods that were left behind are taken up again. It is empty
// where nothing tells.
func (k Kind) TemplateHash(obj map[string]any) string {
	hashed := map[string]any{}
	switch template, ok := k.Template(obj); {
	case ok && hasNulls(template):
		hashed["template"] = withoutNulls(template)
	case ok:
		hashed["template"] = template
	case k.CRD != "" && decoded.Text(obj, "status", "currentPodHash") != "":
		hashed["template"] = decoded.Text(obj, "status", "currentPodHash")
	default:
		return ""
	}
	if len(k.restartedAt) > 0 {
		hashed["restartedAt"] = decoded.At(obj, k.restartedAt...)
	}
	return hash(hashed)
}

// withoutNulls copies a value without its null fields: API servers before
// Kubernetes 1.34 write creationTimestamp: null into every template, later ones
// don't, and an upgrade must not look like a restart.
func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			if e != nil {
				m[k] = withoutNulls(e)
			}
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = withoutNulls(e)
		}
		return l
	default:
		return v
	}
}

// hasNulls says whether an object within a value has a null field.
func hasNulls(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			if e == nil || hasNulls(e) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, hasNulls)
	}
	return false
}

// hashLength in hex digits: 64 bits tell the few versions of one object apart.
const hashLength = 16

// hash of a value that JSON can hold. Its JSON is canonical: encoding/json
// writes struct fields in their order and map keys sorted.
func hash(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		// Decoded JSON and our own types always marshal.
		panic(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])[:hashLength]
}
