package workload

import (
	"slices"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// A webhook of a cloud gives credentials to all containers of a pod, by the ServiceAccount
// alone, but to those that an annotation of the pod names. So containers that a service
// leaves out, and the proxy, are named there. The admission policy does the same.
type webhook struct {
	annotation string
	separator  string

	// comes says whether the webhook is about pods with an injection.
	comes func(claim.Injection) bool
}

var webhooks = []webhook{
	{
		// amazon-eks-pod-identity-webhook, README.md and pkg/handler/handler.go
		// (SkipContainersAnnotation), for both of its ways.
		annotation: "eks.amazonaws.com/skip-containers", separator: ",",
		comes: func(in claim.Injection) bool {
			return slices.ContainsFunc(in.Volumes, func(v claim.Volume) bool { return v.Projected != nil })
		},
	},
	{
		// azure-workload-identity, "Service Account Labels and Annotations", and
		// pkg/webhook/consts.go (SkipContainersAnnotation).
		annotation: "azure.workload.identity/skip-containers", separator: ";",
		comes: func(in claim.Injection) bool { return in.Labels["azure.workload.identity/use"] == "true" },
	},
}

// exemptions are the annotations by which the clouds' webhooks leave alone what an
// injection does. A pod's own stay: they are the team's to say.
func (p pod) exemptions(injection claim.Injection) map[string]string {
	var names []string
	for _, s := range injection.InitContainers {
		names = append(names, s.Name)
	}
	if len(injection.Containers) > 0 {
		for _, c := range p.containers {
			if name := decoded.Text(c, "name"); !slices.Contains(injection.Containers, name) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	a := map[string]string{}
	for _, w := range webhooks {
		if w.comes(injection) {
			a[w.annotation] = strings.Join(names, w.separator)
		}
	}
	return a
}
