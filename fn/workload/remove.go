package workload

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// A record of what Inject put into a template. Names and values alone don't say
// whose something is: a team may set AWS_REGION itself.
type record struct {
	// ServiceAccountName and ServiceAccount as they were, where they changed.
	ServiceAccountName *string `json:"serviceAccountName,omitempty"`
	ServiceAccount     *string `json:"serviceAccount,omitempty"`

	// Labels and Annotations by key.
	Labels      []string `json:"labels,omitempty"`
	Annotations []string `json:"annotations,omitempty"`

	// Volumes and InitContainers by name. A disk's volume is among them also where it is
	// mounted by another volume of its PersistentVolumeClaim.
	Volumes        []string `json:"volumes,omitempty"`
	InitContainers []string `json:"initContainers,omitempty"`

	// Env by name and VolumeMounts by path, of each container.
	Env          map[string][]string `json:"env,omitempty"`
	VolumeMounts map[string][]string `json:"volumeMounts,omitempty"`

	FSGroup bool `json:"fsGroup,omitempty"`
}

// container's variables and mounts.
func (r *record) container(name string, env, mounts []string) {
	if len(env) > 0 {
		if r.Env == nil {
			r.Env = map[string][]string{}
		}
		r.Env[name] = env
	}
	if len(mounts) > 0 {
		if r.VolumeMounts == nil {
			r.VolumeMounts = map[string][]string{}
		}
		r.VolumeMounts[name] = mounts
	}
}

// write the record into the template.
func (r *record) write(template map[string]any) {
	b, err := json.Marshal(r)
	if err != nil {
		// Strings and their lists always marshal.
		panic(err)
	}
	decoded.Ensure(decoded.Ensure(template, "metadata"), "annotations")[annotationInjected] = string(b)
}

// recorded is the record in a template. It is false where there is none, as in a
// template that was copied from a pod which the admission policy injected: then
// nobody knows any more whose is what, and it counts as the template's own.
func recorded(template map[string]any) (record, bool) {
	s := decoded.Text(decoded.Object(decoded.Object(template, "metadata"), "annotations"), annotationInjected)
	var r record
	return r, s != "" && json.Unmarshal([]byte(s), &r) == nil
}

// Injected says whether a template has an injection that Inject put there.
func Injected(template map[string]any) bool {
	_, ok := recorded(template)
	return ok
}

// Loses says whether a template has something of an earlier Inject that the
// injection doesn't hold.
func Loses(template map[string]any, injection claim.Injection) bool {
	r, _ := recorded(template)
	i := contentsOf(injection)
	return !hold(i.labels, r.Labels) || !hold(i.volumes, r.Volumes) || !hold(i.initContainers, r.InitContainers) ||
		slices.ContainsFunc(slices.Collect(maps.Values(r.Env)), func(env []string) bool { return !hold(i.env, env) })
}

// Remove changes the pod template in place: it takes out what Inject put there,
// and puts back the service account that was there before.
func Remove(template map[string]any) {
	r, ok := recorded(template)
	if !ok {
		return
	}
	spec := decoded.Object(template, "spec")
	putBack(spec, "serviceAccountName", r.ServiceAccountName)
	putBack(spec, "serviceAccount", r.ServiceAccount)
	takeKeys(template, "metadata", "labels", r.Labels)
	takeKeys(template, "metadata", "annotations", append(r.Annotations, annotationInjected))
	if len(decoded.Object(template, "metadata")) == 0 {
		delete(template, "metadata")
	}
	takeEntries(spec, "volumes", "name", r.Volumes)
	takeEntries(spec, "initContainers", "name", r.InitContainers)
	for _, c := range slices.Concat(decoded.Objects(spec, "initContainers"), decoded.Objects(spec, "containers")) {
		takeEntries(c, "env", "name", r.Env[decoded.Text(c, "name")])
		takeEntries(c, "volumeMounts", "mountPath", r.VolumeMounts[decoded.Text(c, "name")])
	}
	if r.FSGroup {
		delete(decoded.Object(spec, "securityContext"), "fsGroup")
		if len(decoded.Object(spec, "securityContext")) == 0 {
			delete(spec, "securityContext")
		}
	}
}

// removed is the template without what Inject put there; the template itself
// stays as it is.
func removed(template map[string]any) map[string]any {
	if _, ok := recorded(template); !ok {
		return template
	}
	c := decoded.Clone(template)
	Remove(c)
	return c
}

func putBack(obj map[string]any, field string, was *string) {
	switch {
	case was == nil:
	case *was == "":
		delete(obj, field)
	default:
		obj[field] = *was
	}
}

// takeKeys out of a map within an object. A map that this empties goes too.
func takeKeys(obj map[string]any, parent, field string, keys []string) {
	p := decoded.Object(obj, parent)
	m := decoded.Object(p, field)
	if len(keys) == 0 || m == nil {
		return
	}
	for _, k := range keys {
		delete(m, k)
	}
	if len(m) == 0 {
		delete(p, field)
	}
}

// takeEntries out of a list, by the value of their key. A list that this
// empties goes too.
func takeEntries(obj map[string]any, field, key string, values []string) {
	items, _ := obj[field].([]any)
	if len(values) == 0 || items == nil {
		return
	}
	taken := make(map[string]bool, len(values))
	for _, v := range values {
		taken[v] = true
	}
	kept := slices.DeleteFunc(slices.Clone(items), func(v any) bool {
		m, _ := v.(map[string]any)
		return taken[decoded.Text(m, key)]
	})
	if len(kept) == 0 {
		delete(obj, field)
		return
	}
	obj[field] = kept
}
