package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// requireInjection is the optional policy's file. Services that don't ask for it
// are as without it.
const requireInjection = "package/cluster/require-injection/validatingadmissionpolicy.yaml"

// awaitWarning of a controller about an object of the team, by the object's kind
// and the beginning of its name.
func (t *team) awaitWarning(kind, name string, texts ...string) {
	t.t.Helper()
	t.eventually(fmt.Sprintf("a warning on %s %s", kind, name), func(ctx context.Context) error {
		events := &corev1.EventList{}
		if err := t.Client.List(ctx, events, client.InNamespace(t.namespace)); err != nil {
			return fmt.Errorf("cannot list events: %w", err)
		}
		var seen []string
		for i := range events.Items {
			e := &events.Items[i]
			if e.Type != corev1.EventTypeWarning || e.InvolvedObject.Kind != kind || !strings.HasPrefix(e.InvolvedObject.Name, name) {
				continue
			}
			if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(e.Message, text) }) {
				t.t.Logf("%s: %s: %s", kind, e.Reason, e.Message)
				return nil
			}
			seen = append(seen, e.Message)
		}
		return fmt.Errorf("want one with %q, there are %q", texts, seen)
	})
}

// TestRequireInjection lets the real controllers make pods that are held back
// until the identity exists.
func TestRequireInjection(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string

		// workload of the service, and the object, whose pods have the label
		// app: <service>. The pods' controller is of a kind and name.
		workload, object, kind, controller string
	}{
		"deployment": {
			reason:   "A ReplicaSet tries again.",
			workload: "{kind: Deployment, name: deployment}", kind: "ReplicaSet", controller: "deployment-",
			object: `
apiVersion: apps/v1
kind: Deployment
metadata: {name: deployment}
spec: {replicas: 2, selector: {matchLabels: {app: deployment}}, template: TEMPLATE}`,
		},
		"job": {
			reason:   "A Job tries again, and doesn't count it as a failure.",
			workload: "{apiVersion: batch/v1, kind: Job, name: job}", kind: "Job", controller: "job",
			object: `
apiVersion: batch/v1
kind: Job
metadata: {name: job}
spec: {backoffLimit: 0, template: TEMPLATE}`,
		},
		"cronjob": {
			reason:   "So does the Job of a CronJob.",
			workload: "{apiVersion: batch/v1, kind: CronJob, name: cronjob}", kind: "Job", controller: "cronjob-",
			object: `
apiVersion: batch/v1
kind: CronJob
metadata: {name: cronjob}
spec: {schedule: "* * * * *", concurrencyPolicy: Forbid, jobTemplate: {spec: {backoffLimit: 0, template: TEMPLATE}}}`,
		},
	}
	eachMode(t, func(team *team) {
		if err := team.ApplyFiles(team.t.Context(), requireInjection); err != nil {
			team.t.Fatal(err)
		}
		// The claim's role is there, and its identity isn't: half an injection is
		// published.
		late := team.namespace
		var services strings.Builder
		for name, tc := range cases {
			fmt.Fprintf(&services, "- {name: %s, requireInjection: true, workload: %s, connections: [{type: awsRole, role: my-app-s3-access}, {type: azureManagedIdentity, identityName: %s, resourceGroup: rg-shop}]}\n", name, tc.workload, late)
		}
		fmt.Fprintf(&services, "- {name: plain, connections: [{type: awsRole, role: my-app-s3-access}, {type: azureManagedIdentity, identityName: %s, resourceGroup: rg-shop}]}\n", late)
		team.connect(services.String())
		for name := range cases {
			team.awaitReason(name, claim.TypeAzureManagedIdentity, "IdentityNotFound")
			team.eventually("pods of "+name+" are held back", func(ctx context.Context) error {
				pod := team.barePod("try")
				pod.Labels = map[string]string{labelClaim: "shop", labelService: name}
				return forbidden(team.Client.Create(ctx, pod, client.DryRunAll), "IdentityNotFound")
			})
		}

		for name, tc := range cases {
			team.apply(strings.Replace(tc.object, "TEMPLATE", podTemplate(name, tc.object), 1))
		}
		team.missSchedule("cronjob")
		for name, tc := range cases {
			team.awaitWarning(tc.kind, tc.controller,
				`ServiceConnection "shop" requires the injection of service "`+name+`", which the pod lacks: azureManagedIdentity: IdentityNotFound: `,
				"tries again")
			team.awaitPods(name, 0)
		}
		team.apply(deployment("plain"))
		team.awaitPods("plain", 1)

		team.cloud.AddIdentity(armID(late), tenantID)
		team.awaitReady()
		for name := range cases {
			team.t.Run(name, func(t *testing.T) {
				team := as(t, team)
				n := 1
				if name == "deployment" {
					n = 2
				}
				for _, pod := range team.awaitPods(name, n) {
					team.wantInjected(&pod, "shop", name)
					if !strings.Contains(view(&pod), "label azure.workload.identity/use=true") {
						t.Errorf("%s\nthe pod has half an injection:\n%s", cases[name].reason, view(&pod))
					}
				}
			})
		}
	})
}
