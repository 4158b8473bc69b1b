package porter

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// Where Porter's documentation has the fields of connections. Where a file has one
// at the other place, it is plain which is meant.
var (
	inConfig     = []string{"cloudSqlConnectionName", "cloudSqlDatabasePort", "cloudSqlServiceAccount", "diskName"}
	inConnection = []string{"role", "identityName", "resourceGroup", "serviceAccountEmail"}
)

// services that a ServiceConnection takes over: those with connections, and of
// these the ones that are valid. What is left out becomes a problem.
func (i *importer) services(services *yaml.Node, app string) *yaml.Node {
	all := list()
	for _, s := range services.Content {
		all.Content = append(all.Content, i.service(s, app))
	}
	refused := i.validate(all)
	taken := list()
	for n, s := range all.Content {
		connections := lookup(s, "connections")
		if connections == nil || refused[place{service: n, connection: whole}] {
			continue
		}
		kept := list()
		for m, c := range connections.Content {
			if refused[place{service: n, connection: m}] {
				continue
			}
			kept.Content = append(kept.Content, c)
			i.look(c)
		}
		if len(kept.Content) == 0 {
			continue
		}
		i.result.Connections += len(kept.Content)
		connections.Content = kept.Content
		taken.Content = append(taken.Content, s)
	}
	return block(taken)
}

// service as a ServiceConnection has it. One without connections has none there
// either, and keeps its place in the list, so that paths are those of the file.
func (i *importer) service(s *yaml.Node, app string) *yaml.Node {
	connections := lookup(s, "connections")
	if connections == nil || isNull(connections) {
		return mapping()
	}
	if connections.Kind == yaml.SequenceNode {
		for n, c := range connections.Content {
			connections.Content[n] = movedUp(c)
		}
	}
	name := lookup(s, "name")
	out := mapping("name", name, "workload", i.workload(s, name, app), "connections", connections)
	out.Line, out.Column, out.HeadComment = s.Line, s.Column, s.HeadComment
	return out
}

// movedUp is a connection with each field where a ServiceConnection has it, and its type first.
func movedUp(c *yaml.Node) *yaml.Node {
	if c.Kind != yaml.MappingNode {
		return c
	}
	out, key, config := *c, text("config"), mapping()
	out.Content = nil
	for k, from := range pairs(c) {
		if k.Value != "config" {
			continue
		}
		if from.Kind != yaml.MappingNode {
			return c
		}
		key, *config = k, *from
		config.Content = nil
		for k, v := range pairs(from) {
			to := config
			if slices.Contains(inConnection, k.Value) && lookup(c, k.Value) == nil {
				to = &out
			}
			to.Content = append(to.Content, k, v)
		}
	}
	for k, v := range pairs(c) {
		switch {
		case k == key:
		case k.Value == "type":
			out.Content = append([]*yaml.Node{k, v}, out.Content...)
		case slices.Contains(inConfig, k.Value) && lookup(config, k.Value) == nil:
			config.Content = append(config.Content, k, v)
		default:
			out.Content = append(out.Content, k, v)
		}
	}
	if len(config.Content) > 0 {
		out.Content = append(out.Content, key, config)
	}
	return &out
}

// apiVersions of the kinds that a workload may have by flag.
var apiVersions = map[string]string{
	"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1",
	"Job": "batch/v1", "CronJob": "batch/v1", "Pod": "v1", "Rollout": "argoproj.io/v1alpha1",
}

// ParseWorkload reads KIND/NAME, in any case of letters, such as deployment/api.
func ParseWorkload(s string) (Workload, bool) {
	kind, name, _ := strings.Cut(s, "/")
	for k := range apiVersions {
		if strings.EqualFold(k, kind) && name != "" {
			return Workload{Kind: k, Name: name}, true
		}
	}
	return Workload{}, false
}

// workload of a service, nil where it is the one that a ServiceConnection takes
// when nothing is said. Porter runs a job by a CronJob, also one that has no
// schedule, and everything else by a Deployment.
func (i *importer) workload(s, name *yaml.Node, app string) *yaml.Node {
	if name == nil || name.Kind != yaml.ScalarNode {
		return nil
	}
	w, ok := i.options.Workloads[name.Value]
	if !ok {
		w = Workload{Kind: "Deployment", Name: strings.NewReplacer("<app>", app, "<service>", name.Value).Replace(i.options.WorkloadName)}
		if isJob(s, name.Value) {
			w.Kind = "CronJob"
		}
	}
	if w.Kind == "Deployment" && w.Name == name.Value {
		return nil
	}
	workload := text(w.Name)
	// A mistake in it is told where the service's name is.
	workload.Line, workload.Column = name.Line, name.Column
	return mapping("apiVersion", text(apiVersions[w.Kind]), "kind", text(w.Kind), "name", workload)
}

// isJob by its type, or where it has none by its name, as Porter tells them.
func isJob(s *yaml.Node, name string) bool {
	if t := lookup(s, "type"); t != nil {
		return t.Value == "job"
	}
	return strings.Contains(name, "job")
}

// A place in the list of services: one connection, or a whole service.
type place struct{ service, connection int }

const whole = -1

// validate the services by the function's own rules. Each mistake becomes a
// problem, and refuses the connection or the service that it is in.
func (i *importer) validate(services *yaml.Node) map[place]bool {
	refused := map[place]bool{}
	root := mapping("services", services)
	c := claim.Claim{}
	c.Read(connection.Builtin().Schema(), value(services), field.NewPath("services"))
	for _, err := range c.Errors {
		at, ok := placeOf(err.Field)
		if !ok || len(services.Content[at.service].Content) == 0 {
			continue // A service without connections, which stays behind.
		}
		refused[at] = true
		n := find(root, err.Field, err.Type == field.ErrorTypeForbidden)
		i.problemf(n, "%s: %s", err.Field, err.ErrorBody())
	}
	return refused
}

// placeOf a mistake, by its path from the list of services.
func placeOf(path string) (at place, ok bool) {
	at.service, path, ok = cutIndex(strings.TrimPrefix(path, "services"))
	at.connection = whole
	if n, _, in := cutIndex(strings.TrimPrefix(path, ".connections")); in {
		at.connection = n
	}
	return at, ok
}

// look at a connection that is taken over for what may differ from Porter.
func (i *importer) look(c *yaml.Node) {
	disk := lookup(lookup(c, "config"), "diskName")
	if disk == nil || lookup(lookup(c, "config"), "mountPath") != nil {
		return
	}
	i.notef(disk, "disk %[1]q is mounted at /data/%[1]s, which Porter doesn't promise; where the code expects another path, set config.mountPath", disk.Value)
}

// serviceConnection object.
func serviceConnection(name, namespace string, services *yaml.Node) *yaml.Node {
	metadata := mapping("name", text(name))
	if namespace != "" {
		metadata = mapping("name", text(name), "namespace", text(namespace))
	}
	return mapping(
		"apiVersion", text("serviceconnections.io/v1alpha1"),
		"kind", text("ServiceConnection"),
		"metadata", metadata,
		"spec", mapping("services", services),
	)
}
