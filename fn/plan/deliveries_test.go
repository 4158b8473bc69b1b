package plan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// TestDeliver holds what becomes of a workload that an earlier step renders.
func TestDeliver(t *testing.T) {
	t.Parallel()
	account := func(more ...string) map[string]string {
		composed := map[string]string{"shop-api.serviceaccount": serviceAccount}
		for _, y := range more {
			composed["workload"] = y
		}
		return composed
	}
	deploymentOf := func(image, meta string) string {
		return `{apiVersion: apps/v1, kind: Deployment, metadata: {name: api, namespace: team-a}, spec: {template: {` + meta + `spec: {containers: [{name: app, image: ` + image + `}]}}}}`
	}
	const injectedBefore = `metadata: {annotations: {serviceconnections.io/injection: old, serviceconnections.io/injected: '{"volumes": ["sc-disk"]}'}}, `
	job := strings.NewReplacer("apps/v1", "batch/v1", "Deployment", "Job").Replace(deploymentOf("new", ""))
	jobs := `[{name: api, workload: {apiVersion: batch/v1, kind: Job, name: api}, connections: [{type: awsRole, role: my-app-s3}]}]`
	cases := map[string]struct {
		reason   string
		services string
		composed map[string]string
		rendered string
		// image and injected of the delivered template; unchanged and withheld
		// where there is none.
		image               string
		injected            bool
		unchanged, withheld bool
	}{
		"New":           {reason: "it gets its injection before its pods are made", services: api, composed: account(), rendered: deploymentOf("new", ""), image: "new", injected: true},
		"NothingYet":    {reason: "a Deployment can change later", services: api, rendered: deploymentOf("new", ""), unchanged: true},
		"JobNothingYet": {reason: "a Job can't", services: jobs, rendered: job, withheld: true},
		"JobRuns":       {reason: "its template can't change", services: jobs, composed: account(strings.Replace(job, "new", "old", 1)), rendered: job, image: "old"},
		"WouldLose": {
			reason: "a mistake takes nothing from the pods that run", services: `[{name: api, connections: [{type: disk, config: {diskName: "Not Valid"}}]}]`,
			composed: account(deploymentOf("old", injectedBefore)), rendered: deploymentOf("new", ""), image: "old", injected: false,
		},
		"NotItsService": {reason: "no service names it", services: `[]`, rendered: deploymentOf("new", ""), unchanged: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := world{services: tc.services, composed: tc.composed, rendered: map[string]string{"workload": tc.rendered}}.input(t)
			before := fmt.Sprint(in.Rendered)
			ds := deliver(conclude(inject(composeAccounts(hold(grantWishes(wishFor(gather(in))))))))
			want(t, before, fmt.Sprint(in.Rendered), "rendered workloads after the plan")
			got, changed := ds.workloads["workload"]
			want(t, !tc.unchanged, changed, "changed, "+tc.reason)
			want(t, tc.withheld, changed && got == nil, "withheld, "+tc.reason)
			if got == nil {
				return
			}
			kind, _ := workload.KindOf("apps/v1", "Deployment")
			template, _ := kind.Template(got)
			spec, _ := template["spec"].(map[string]any)
			containers, _ := spec["containers"].([]any)
			container, _ := containers[0].(map[string]any)
			want(t, any(tc.image), container["image"], "image, "+tc.reason)
			want(t, tc.injected, connection.Annotation(template, workload.AnnotationInjection) != "" && spec["volumes"] != nil, "injected, "+tc.reason)
		})
	}
}

// TestDeliverLeavesAlone holds that a Job of which no service speaks any more
// keeps its injection, since its pods can't change.
func TestDeliverLeavesAlone(t *testing.T) {
	t.Parallel()
	job := `{apiVersion: batch/v1, kind: Job, metadata: {name: old, namespace: team-a}, spec: {template: {metadata: {annotations: {serviceconnections.io/injected: '{}'}}, spec: {containers: [{name: app, image: old}]}}}}`
	in := world{services: `[]`, composed: map[string]string{"workload": job}, rendered: map[string]string{"workload": strings.Replace(job, "image: old", "image: new", 1)}}.input(t)
	ds := deliver(conclude(inject(composeAccounts(hold(grantWishes(wishFor(gather(in))))))))
	kind, _ := workload.KindOf("batch/v1", "Job")
	ran, _ := kind.Template(object(t, job))
	got, _ := kind.Template(ds.workloads["workload"])
	if diff := cmp.Diff(ran, got); diff != "" {
		t.Errorf("template, -ran, +delivered:\n%s", diff)
	}
}
