package workload

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// A Conflict is why the pods of a template get nothing: a pod that has only half
// of an injection, or that the API server refuses because of it, is worse than
// one that has none.
type Conflict struct {
	// Reason of a connection's status.
	Reason string

	// Message is one sentence with the object, the value seen and the next
	// step.
	Message string
}

// The reasons of conflicts.
const (
	ReasonContainerNotFound   = "ContainerNotFound"
	ReasonPortConflict        = "PortConflict"
	ReasonNameConflict        = "NameConflict"
	ReasonServiceAccountInUse = "ServiceAccountInUse"
)

// defaultServiceAccount is what the API server gives to a pod that names none.
const defaultServiceAccount = "default"

// Inspect a pod template of the service's workload for what keeps its pods from
// getting the injection. What an earlier Inject put there is none of it, whatever
// it was. The template isn't changed.
func Inspect(template map[string]any, injection claim.Injection, service claim.Service) []Conflict {
	return inspect(removed(template), injection, service)
}

// inspect a template as it stands.
func inspect(template map[string]any, injection claim.Injection, service claim.Service) []Conflict {
	i := inspection{
		pod:       newPod(template, injection),
		injection: injection,
		service:   service,
	}
	i.serviceAccount()
	i.containerNames()
	i.metadata()
	i.volumes()
	i.mounts()
	i.sidecars()
	i.ports()
	return i.conflicts
}

// An inspection gathers conflicts.
type inspection struct {
	pod
	injection claim.Injection
	service   claim.Service
	conflicts []Conflict
}

// conflictf of the workload, whose kind and name go before the message.
func (i *inspection) conflictf(reason, format string, a ...any) {
	name := "the workload"
	if w := i.service.Workload; w != nil {
		name = fmt.Sprintf("%s %q", w.Kind, w.Name)
	}
	i.conflicts = append(i.conflicts, Conflict{Reason: reason, Message: name + " " + fmt.Sprintf(format, a...)})
}

// serviceAccount that the workload runs as stays: another one would take away
// its RBAC and its pull secrets.
func (i *inspection) serviceAccount() {
	sa := decoded.Text(i.spec, "serviceAccountName")
	if sa == "" {
		sa = decoded.Text(i.spec, "serviceAccount")
	}
	want := i.injection.ServiceAccountName
	if want == "" || sa == "" || sa == defaultServiceAccount || sa == want {
		return
	}
	next := fmt.Sprintf("set services[%s].serviceAccountName: %s", i.service.Name, sa)
	if i.service.ServiceAccountName != "" {
		next = fmt.Sprintf("change services[%s].serviceAccountName from %s to %s, or the workload's", i.service.Name, want, sa)
	}
	i.conflictf(ReasonServiceAccountInUse, "already runs as ServiceAccount %q; %s", sa, next)
}

func (i *inspection) containerNames() {
	for _, name := range i.injection.Containers {
		if decoded.Find(i.containers, "name", name) == nil {
			i.conflictf(ReasonContainerNotFound, "has no container %q, only %s; correct services[%s].containers", name, names(i.containers), i.service.Name)
		}
	}
}

// metadata of ours that says something else already.
func (i *inspection) metadata() {
	meta := decoded.Object(i.template, "metadata")
	for _, m := range []struct {
		field, what string
		want        map[string]string
	}{
		{"labels", "label", i.injection.Labels},
		{"annotations", "annotation", annotations(i.injection)},
	} {
		for _, k := range slices.Sorted(maps.Keys(m.want)) {
			if v, ok := decoded.Object(meta, m.field)[k]; ok && v != any(m.want[k]) {
				i.conflictf(ReasonNameConflict, "has the pod %s %s: %v, which must be %s; remove it from the pod template", m.what, k, v, m.want[k])
			}
		}
	}
}

func (i *inspection) volumes() {
	volumes := decoded.Objects(i.spec, "volumes")
	var told []string
	for _, v := range i.injection.Volumes {
		if got := decoded.Find(volumes, "name", v.Name); got != nil && !decoded.Covers(got, decoded.Of(i.mounting.volume(v))) {
			i.conflictf(ReasonNameConflict, "has a volume %q of its own, a name that the injection uses; rename it", v.Name)
			continue
		}
		if by, ok := i.mounting.by(v.Name); !ok && !slices.Contains(told, by) {
			told = append(told, by)
			i.conflictf(ReasonNameConflict, "has the PersistentVolumeClaim %q in its volume %q, which is read-only, where the injection writes it; take readOnly from the volume, and set it in the mounts of it", v.PersistentVolumeClaim.ClaimName, by)
		}
	}
}

func (i *inspection) mounts() {
	for _, c := range i.targets {
		for _, m := range i.injection.VolumeMounts {
			for _, got := range decoded.Objects(c, "volumeMounts") {
				if samePath(decoded.Text(got, "mountPath"), m.MountPath) && !decoded.Covers(got, i.mount(m, got)) {
					i.conflictf(ReasonNameConflict, "mounts volume %q at %s in container %q, where the injection mounts %q; mount one of them elsewhere", decoded.Text(got, "name"), m.MountPath, decoded.Text(c, "name"), m.Name)
				}
			}
			if decoded.Find(decoded.Objects(c, "volumeDevices"), "devicePath", m.MountPath) != nil {
				i.conflictf(ReasonNameConflict, "has a block device at %s in container %q, where the injection mounts %q; put it elsewhere", m.MountPath, decoded.Text(c, "name"), m.Name)
			}
		}
	}
}

// mount as decoded JSON, with its path, and the volume of a disk, written as the template
// does.
func (i *inspection) mount(m claim.VolumeMount, got map[string]any) map[string]any {
	m.MountPath = decoded.Text(got, "mountPath")
	if name := decoded.Text(got, "name"); i.mounting.is(name, m.Name) {
		m.Name = name
	}
	return decoded.Of(m)
}

// samePath but for a trailing slash.
func samePath(a, b string) bool {
	return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/")
}

func (i *inspection) sidecars() {
	for _, s := range i.injection.InitContainers {
		got := decoded.Find(decoded.Objects(i.spec, "initContainers"), "name", s.Name)
		if decoded.Find(decoded.Objects(i.spec, "containers"), "name", s.Name) != nil || got != nil && !isSidecar(got, s) {
			i.conflictf(ReasonNameConflict, "has a container %q of its own, a name that the injection uses; rename it", s.Name)
		}
	}
}

// isSidecar says whether a container is the sidecar, by what makes it the one:
// the rest may be written in other words, such as quantities.
func isSidecar(got map[string]any, s claim.Sidecar) bool {
	args := make([]any, len(s.Args))
	for i, a := range s.Args {
		args[i] = a
	}
	return decoded.Covers(got, map[string]any{"image": s.Image, "args": args, "restartPolicy": s.RestartPolicy})
}

// ports of the workload's containers that a sidecar listens on too: all of a
// pod's containers share one network.
func (i *inspection) ports() {
	for _, s := range i.injection.InitContainers {
		for _, listens := range sidecarPorts(s) {
			for _, c := range i.containers {
				for _, p := range decoded.Objects(c, "ports") {
					number, _ := decoded.Integer(p["containerPort"])
					if protocol := decoded.Text(p, "protocol"); number == listens && (protocol == "" || protocol == "TCP") {
						i.conflictf(ReasonPortConflict, "listens on port %d in container %q, where %s listens too; change one of the ports", listens, decoded.Text(c, "name"), s.Name)
					}
				}
			}
		}
	}
}

// sidecarPorts are the ports that a sidecar declares, and those that its
// instances are given as <instance>?port=<port> (Cloud SQL Auth Proxy, "Usage").
func sidecarPorts(s claim.Sidecar) []int64 {
	var ports []int64
	for _, p := range s.Ports {
		ports = append(ports, int64(p.ContainerPort))
	}
	for _, a := range s.Args {
		if port, err := strconv.ParseInt(portOf(a), 10, 32); err == nil {
			ports = append(ports, port)
		}
	}
	return ports
}

// maxNames of containers are told.
const maxNames = 20

func names(containers []map[string]any) string {
	told := containers[:min(len(containers), maxNames)]
	quoted := make([]string, 0, len(told)+1)
	for _, c := range told {
		quoted = append(quoted, fmt.Sprintf("%q", decoded.Text(c, "name")))
	}
	if more := len(containers) - len(told); more > 0 {
		quoted = append(quoted, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(quoted, ", ")
}
