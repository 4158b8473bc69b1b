package claim

import (
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The schema's bounds of lists. What is beyond them isn't read: whoever writes a
// composite resource without our schema decides neither how long the function
// takes nor how much memory.
const (
	maxServices   = 100
	maxContainers = 32

	// maxBytes is beyond what any field may have.
	maxBytes = 8192

	// maxUnknown fields of an object are told by name.
	maxUnknown = 10
)

// The form of a connection's name, as its Go type has it for the schema. It begins with a
// letter, since variables that are named after it must.
const (
	nameField     = "name"
	maxNameLength = 20
)

var nameForm = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

// apiVersions of the workload kinds.
var apiVersions = map[string]string{
	"Deployment":  "apps/v1",
	"StatefulSet": "apps/v1",
	"DaemonSet":   "apps/v1",
	"ReplicaSet":  "apps/v1",
	"Job":         "batch/v1",
	"CronJob":     "batch/v1",
	"Pod":         "v1",
	"Rollout":     "argoproj.io/v1alpha1",
}

func validateService(s Service, r reader) field.ErrorList {
	var errs field.ErrorList
	p := r.path
	switch _, there := r.fields["name"]; {
	case s.Name != "":
		errs = append(errs, label(s.Name, p.Child("name"))...)
	case !there && r.fields != nil:
		errs = append(errs, field.Required(p.Child("name"), ""))
	}
	if s.ServiceAccountName != "" {
		errs = append(errs, subdomain(s.ServiceAccountName, p.Child("serviceAccountName"))...)
	}
	if _, there := r.fields["workload"]; there {
		errs = append(errs, validateWorkload(s.Workload, p.Child("workload"))...)
	}
	return errs
}

// validateContainer that is named after others.
func validateContainer(name string, others []string, p *field.Path) field.ErrorList {
	if slices.Contains(others, name) {
		return field.ErrorList{field.Duplicate(p, name)}
	}
	return label(name, p)
}

func validateWorkload(w *Workload, wp *field.Path) field.ErrorList {
	var errs field.ErrorList
	if w.Name != "" {
		errs = append(errs, subdomain(w.Name, wp.Child("name"))...)
	}
	switch want, ok := apiVersions[w.Kind]; {
	case !ok:
		kinds := []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod", "Rollout"}
		errs = append(errs, field.NotSupported(wp.Child("kind"), w.Kind, kinds))
	case w.APIVersion != want:
		errs = append(errs, field.Invalid(wp.Child("apiVersion"), w.APIVersion, "a "+w.Kind+" has apiVersion "+want))
	}
	return errs
}

func label(s string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsDNS1123Label(s) {
		errs = append(errs, field.Invalid(p, s, msg))
	}
	return errs
}

func subdomain(s string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsDNS1123Subdomain(s) {
		errs = append(errs, field.Invalid(p, s, msg))
	}
	return errs
}
