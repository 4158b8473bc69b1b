package workload

import (
	"maps"
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// The annotations of a pod that has an injection.
const (
	// AnnotationInjection holds the hash of the injection that a pod has.
	AnnotationInjection = "serviceconnections.io/injection"

	// AnnotationInjectedBy holds the name of the ServiceConnection by which a pod
	// was injected as it was created.
	AnnotationInjectedBy = "serviceconnections.io/injected-by"

	// annotationInjected holds the record of what was put into a template, so
	// that exactly this can be taken out again.
	annotationInjected = "serviceconnections.io/injected"
)

// variablesOfConfiguration are those that a container may well get from a
// ConfigMap or Secret by envFrom, whose content can't be seen here, and without
// which credentials work. A literal variable would win over them.
var variablesOfConfiguration = []string{"AWS_DEFAULT_REGION", "AWS_REGION"}

// ofConfiguration says whether a variable is one of them, or a database's.
func ofConfiguration(variable string) bool {
	return slices.Contains(variablesOfConfiguration, variable) ||
		HostNames.MatchString(variable) || PortNames.MatchString(variable) || InstanceNames.MatchString(variable)
}

// A pod is a template's content, seen from an injection.
type pod struct {
	template map[string]any
	spec     map[string]any

	// containers and init containers of the workload: all but our sidecars.
	containers []map[string]any

	// targets are the containers that get variables and mounts.
	targets []map[string]any

	// mounting of the injection's disks.
	mounting mounting
}

func newPod(template map[string]any, injection claim.Injection) pod {
	p := pod{template: template, spec: decoded.Object(template, "spec")}
	p.mounting = mountingOf(injection, decoded.Objects(p.spec, "volumes"))
	for _, c := range slices.Concat(decoded.Objects(p.spec, "initContainers"), decoded.Objects(p.spec, "containers")) {
		name := decoded.Text(c, "name")
		if slices.ContainsFunc(injection.InitContainers, func(s claim.Sidecar) bool { return s.Name == name }) {
			continue
		}
		p.containers = append(p.containers, c)
		if len(injection.Containers) == 0 || slices.Contains(injection.Containers, name) {
			p.targets = append(p.targets, c)
		}
	}
	return p
}

// annotations that the injection gives to a pod.
func annotations(injection claim.Injection) map[string]string {
	a := map[string]string{AnnotationInjection: injection.Hash}
	maps.Copy(a, injection.Annotations)
	return a
}

// Annotations that the injection gives to a pod of which nothing else is known.
func Annotations(injection claim.Injection) map[string]string {
	a := annotations(injection)
	maps.Copy(a, pod{}.exemptions(injection))
	return a
}

// Inject changes the pod template in place, so that its pods have the injection.
// What an earlier Inject put there is taken out first. Only for a template in
// which Inspect finds no conflict. Nothing of the template's own is overwritten,
// but for a service account that is default.
func Inject(template map[string]any, injection claim.Injection) {
	Remove(template)
	r := put(template, injection)
	r.write(template)
}

// put the injection into the template, and say what was put there.
func put(template map[string]any, injection claim.Injection) record {
	p := newPod(template, injection)
	r := record{}
	r.ServiceAccountName, r.ServiceAccount = p.setServiceAccount(injection.ServiceAccountName)

	meta := decoded.Ensure(template, "metadata")
	r.Labels = setMissing(meta, "labels", injection.Labels)
	given := annotations(injection)
	maps.Copy(given, p.exemptions(injection))
	r.Annotations = setMissing(meta, "annotations", given)

	for _, v := range injection.Volumes {
		if decoded.Find(decoded.Objects(p.spec, "volumes"), "name", v.Name) != nil {
			continue
		}
		if by, _ := p.mounting.by(v.Name); by == v.Name {
			decoded.Append(p.spec, "volumes", decoded.Of(p.mounting.volume(v)))
		}
		// Also one that is mounted by another volume, or Loses wouldn't miss it.
		r.Volumes = append(r.Volumes, v.Name)
	}
	mounts := p.mounting.mounts(injection.VolumeMounts)
	for _, c := range p.targets {
		r.container(decoded.Text(c, "name"), addEnv(c, injection.Env), addMounts(c, mounts))
	}
	var sidecars []any
	for _, s := range injection.InitContainers {
		if decoded.Find(decoded.Objects(p.spec, "initContainers"), "name", s.Name) == nil {
			sidecars = append(sidecars, decoded.Of(s))
			r.InitContainers = append(r.InitContainers, s.Name)
		}
	}
	decoded.Prepend(p.spec, "initContainers", sidecars...)

	if g := injection.FSGroup; g != nil && decoded.At(p.spec, "securityContext", "fsGroup") == nil {
		decoded.Ensure(p.spec, "securityContext")["fsGroup"] = *g
		r.FSGroup = true
	}
	return r
}

// setServiceAccount sets both of the fields that name it, the deprecated one
// too, since the API server rejects or overrules one that says something else.
// It returns what they said.
func (p pod) setServiceAccount(name string) (serviceAccountName, serviceAccount *string) {
	if name == "" {
		return nil, nil
	}
	return replace(p.spec, "serviceAccountName", name), replace(p.spec, "serviceAccount", name)
}

// replace the text at a field. It returns what it said before, empty where it
// said nothing, and nil where it said this.
func replace(obj map[string]any, field, value string) *string {
	old := decoded.Text(obj, field)
	if old == value {
		return nil
	}
	obj[field] = value
	return &old
}

// setMissing keys of the string map at a field. It returns the keys that it set.
func setMissing(obj map[string]any, field string, values map[string]string) []string {
	var set []string
	for k, v := range values {
		m := decoded.Ensure(obj, field)
		if _, ok := m[k]; !ok {
			m[k] = v
			set = append(set, k)
		}
	}
	slices.Sort(set)
	return set
}

// addEnv adds the variables that the container doesn't set. It returns their
// names.
func addEnv(container map[string]any, env []claim.EnvVar) []string {
	own := decoded.Objects(container, "env")
	from := len(decoded.Objects(container, "envFrom")) > 0
	var added []string
	for _, e := range env {
		if decoded.Find(own, "name", e.Name) != nil || from && ofConfiguration(e.Name) {
			continue
		}
		decoded.Append(container, "env", map[string]any{"name": e.Name, "value": e.Value})
		added = append(added, e.Name)
	}
	return added
}

// addMounts adds the mounts that the container doesn't have. It returns their
// paths.
func addMounts(container map[string]any, mounts []claim.VolumeMount) []string {
	own := decoded.Objects(container, "volumeMounts")
	var added []string
	for _, m := range mounts {
		if slices.ContainsFunc(own, func(o map[string]any) bool { return samePath(decoded.Text(o, "mountPath"), m.MountPath) }) {
			continue
		}
		decoded.Append(container, "volumeMounts", decoded.Of(m))
		added = append(added, m.MountPath)
	}
	return added
}
