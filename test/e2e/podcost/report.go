package main

import (
	"fmt"
	"strings"
	"time"
)

// The goals, which the report holds the figures against.
const (
	webhookGoal = 3 * time.Millisecond
	claimGoal   = 200 * time.Microsecond
	ownersGoal  = 1.2
	memoryGoal  = 64 << 20
)

const mebibyte = 1 << 20

// text of the report.
func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# What a pod costs

<!-- Written by make podcost. -->

How long the creation of a pod takes, by what gives pods their injection, by how many
ServiceConnections the pod's namespace has, and by the pod: one of no claim, one that is
injected, and one of no claim with 3,000 ownerReferences. It is the median of dry runs as
the client sees them, on one machine that also runs etcd and Kubernetes. The claims have one
service, and are %d KB large, or 100 services, and are %d KB; each service has two
connections. The load average of the machine before was %s; where that is more than 1,
times are too long.

| Pod | Claims | Services of each | neither | policy | webhook | both | a webhook that does nothing |
|---|---|---|---|---|---|---|---|
`, r.size[1]/1000, r.size[100]/1000, r.load)
	for _, k := range kinds {
		for _, c := range beside[k] {
			fmt.Fprintf(&b, "| %s | %d | %d |", k, c.claims, c.services)
			for _, by := range modes {
				fmt.Fprintf(&b, " %s |", milliseconds(r.medians[cell{c, k, by}]))
			}
			b.WriteByte('\n')
		}
	}
	b.WriteString(`
What a claim adds to the policy is its size: the API server writes it as JSON and reads
it again for each pod, before any condition of a policy runs, and more than once for a pod
that is injected. The webhook looks a pod up by what it names. Its figures have the way
through what stands for its Service here, and the last column has what Kubernetes takes to
ask any webhook. Neither looks at the owners of a pod that has more than 32, and the API
server sends the webhook no such pod: what it takes is Kubernetes' own.

`)
	r.goals(&b)
	fmt.Fprintf(&b, `
No object that the policy could read instead brings a claim of 100 services to %s. What a
pod is given has to be in it, for every service. A service of the large claim adds %s,
and as an object of its own it adds %s, which is what a claim of one service does. What a
namespace's claims cost is paid by the pods of that namespace alone, since the binding reads
no others.

| ServiceConnections | Memory of a replica of the webhook, resident |
|---|---|
| 1,000 of one service | %.0f MiB |
| and %d of 100 services | %.0f MiB |
`, milliseconds(claimGoal), milliseconds(r.each(crowd{300, 100})/100), milliseconds(r.each(crowd{300, 1})), r.resident["small"]/mebibyte, 1+20+100+300, r.resident["all"]/mebibyte)
	r.choice(&b)
	return b.String()
}

// goals and what came of them.
func (r *report) goals(b *strings.Builder) {
	b.WriteString("| Goal | Figure | Holds |\n|---|---|---|\n")
	line := func(goal, figure string, over float64) {
		fmt.Fprintf(b, "| %s | %s | %s |\n", goal, figure, map[bool]string{true: "yes", false: "no"}[over <= 1])
	}
	for _, k := range []kind{unconnected, connected} {
		var most, added time.Duration
		for _, c := range beside[k] {
			took := r.medians[cell{c, k, webhook}]
			most, added = max(most, took), max(added, took-r.medians[cell{c, k, floor}])
		}
		line(fmt.Sprintf("the webhook adds at most %s to a pod %s, beside any number of claims and beyond what a webhook that does nothing costs", milliseconds(webhookGoal), k),
			fmt.Sprintf("%s, and the whole pod takes at most %s", milliseconds(added), milliseconds(most)), ratio(added, webhookGoal))
	}
	for _, of := range []crowd{{300, 1}, {300, 100}} {
		each := r.each(of)
		line(fmt.Sprintf("with the policy, a claim of %d %s adds at most %s to a pod that it doesn't name", of.services, plural(of.services, "service"), milliseconds(claimGoal)),
			milliseconds(each), ratio(each, claimGoal))
	}
	for _, by := range []mode{policy, webhook} {
		for _, k := range []kind{unconnected, owned} {
			times := ratio(r.medians[cell{small[0], k, by}], r.medians[cell{small[0], k, neither}])
			line(fmt.Sprintf("with the %s, a pod %s takes at most %.1f times as long as without us, in a namespace without claims", by, k, ownersGoal),
				fmt.Sprintf("%.2f times", times), times/ownersGoal)
		}
	}
	line(fmt.Sprintf("the webhook takes at most %d MiB for 1,000 claims", memoryGoal/mebibyte),
		fmt.Sprintf("%.0f MiB", r.resident["small"]/mebibyte), r.resident["small"]/memoryGoal)
}

// each claim of the largest crowd of a size adds so much to a pod, with the policy.
func (r *report) each(of crowd) time.Duration {
	none := r.medians[cell{small[0], unconnected, policy}]
	return (r.medians[cell{of, unconnected, policy}] - none) / time.Duration(of.claims)
}

// choice between policy and webhook.
func (r *report) choice(b *strings.Builder) {
	called := r.medians[cell{small[0], unconnected, webhook}] - r.medians[cell{small[0], unconnected, neither}]
	even := func(of crowd) float64 { return float64(called) / float64(max(r.each(of), 1)) }
	fmt.Fprintf(b, `
The webhook cost a pod %s in a namespace without claims, and costs it the same in any other.
Here the policy cost as much beside %.0f claims of one service, or beside %.1f of 100
services. The webhook's own part of that is 0.1 ms, and 0.15 ms for a pod that is injected
(BenchmarkReview in webhook/). So a platform whose namespaces have a handful of claims
takes the policy, which is no server to run. One with hundreds of claims in a namespace, or
with large ones, takes [the webhook](install.md#kubernetes-before-136), or bounds their number by a
[quota](../example/quota.yaml). With both, a pod pays for both, so leave out the policy where
namespaces are large.
`, milliseconds(called), even(crowd{300, 1}), even(crowd{300, 100}))
}

func plural(n int, of string) string {
	if n == 1 {
		return of
	}
	return of + "s"
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
