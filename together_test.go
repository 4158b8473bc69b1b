//go:build !race

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	// workers of Crossplane for each kind of composite resource
	// (--max-reconcile-rate).
	workers = 100

	// together is for how long they call.
	together = 10 * time.Second

	// tooLate for the answer to a small claim, of all but one in a hundred. It takes
	// a few tenths of a second, by how busy the machine is.
	tooLate = 3 * time.Second
)

// The largest requests that a team can cause, by what makes them large.
var largeRequests = map[string]func() *fnv1.RunFunctionRequest{
	"Values": shape(func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.connection("awsRole", func(_, c map[string]any) {
				c["role"] = "r"
				c["create"] = map[string]any{"policy": map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{"Resource": many(n, func(int) any { return []any{} })}}}}
			})
		})
	}).largest,
	"Workload": shape(func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(func(s map[string]any) { s["workload"] = map[string]any{"name": "web"} })
			p.required["Deployment|apps/v1|team-a|web"] = deployment(n)
		})
	}).largest,
	"Environment": shape(func(n int) *fnv1.RunFunctionRequest { return largeWorkloads(1, n) }).largest,
	"Middling": func() *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(func(s map[string]any) { s["workload"] = map[string]any{"name": "web"} })
			p.required["Deployment|apps/v1|team-a|web"] = deployment(5000)
		})
	},
	"Workloads": func() *fnv1.RunFunctionRequest { return largeWorkloads(20, 1_200_000) },
	"Composed": func() *fnv1.RunFunctionRequest {
		// Twice the largest request, since something is left out of it.
		return hostile(func(p *plain) {
			p.hundred(nil)
			for i := range 1000 {
				p.observed[fmt.Sprint("a", i)] = map[string]any{"kind": "A", "status": map[string]any{"atProvider": map[string]any{"a": "a"}}, "spec": fields(220, "a string of twenty-")}
			}
		})
	},
}

// largeWorkloads that a hundred services name, each with a variable of so many bytes.
func largeWorkloads(n, size int) *fnv1.RunFunctionRequest {
	return hostile(func(p *plain) {
		i := 0
		p.hundred(func(s map[string]any) {
			s["serviceAccountName"], s["workload"] = "sa", map[string]any{"name": fmt.Sprint("web-", i%n)}
			i++
		})
		for i := range n {
			d := deployment(1)
			d["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["containers"] = []any{map[string]any{"name": "c", "env": []any{map[string]any{"name": "A", "value": strings.Repeat("a", size)}}}}
			p.required[fmt.Sprintf("Deployment|apps/v1|team-a|web-%d", i)] = d
		}
	})
}

// largeOfTeam are objects of a kind, into each of which a team has written much that
// nobody but the team needs, if anybody does.
func largeOfTeam(kind string, add func(p *plain, i int, o map[string]any)) *fnv1.RunFunctionRequest {
	const n = 500
	annotations := fields(n, strings.Repeat("a", 150))
	annotations["eks.amazonaws.com/role-arn"] = strings.Repeat("a", 100_000)
	owner := fromYAML(`{apiVersion: v1, kind: ConfigMap, name: a, uid: 00000000-1111-2222-3333-444444444444}`)
	return hostile(func(p *plain) {
		i := 0
		p.hundred(func(s map[string]any) {
			if s["name"] != "s-0" && kind == "ServiceAccount" {
				s["serviceAccountName"] = fmt.Sprint("sa-", i)
			}
			i++
		})
		for i := range 50 {
			add(p, i, map[string]any{
				"apiVersion": "v1", "kind": kind,
				"metadata": map[string]any{
					"name": fmt.Sprint("sa-", i), "namespace": "team-a", "labels": fields(n, ""), "annotations": annotations,
					"ownerReferences": many(n, func(int) any { return owner }),
					"managedFields": many(n, func(i int) any {
						return map[string]any{"manager": fmt.Sprint("m", i), "operation": "Apply", "fieldsV1": map[string]any{"f:metadata": map[string]any{"f:labels": map[string]any{"f:a": map[string]any{}}}}}
					}),
				},
				"secrets":          many(n, func(i int) any { return map[string]any{"name": fmt.Sprint("s", i)} }),
				"imagePullSecrets": many(n, func(i int) any { return map[string]any{"name": fmt.Sprint("s", i)} }),
			})
		}
	})
}

// largePolicy of a claim's first service.
func largePolicy(resource any) *fnv1.RunFunctionRequest {
	return hostile(func(p *plain) {
		p.connection("awsRole", func(s, c map[string]any) {
			s["name"], s["serviceAccountName"], c["role"] = "s-0", "sa", "role-0"
			c["create"] = map[string]any{"policy": map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{"Resource": resource}}}}
		})
	})
}

// nested objects in each other.
func nested(n int) any {
	v := any("x")
	for range n {
		v = map[string]any{"a": v}
	}
	return v
}

// TestRevokesWhateverIsLarge sends what is more than the function takes, by what a team
// can make large: nothing of it may hold back that something is taken back.
func TestRevokesWhateverIsLarge(t *testing.T) { //nolint:paralleltest // One at a time has the cores.
	binary := built(t)
	_, conn := started(t, binary)

	cases := map[string]struct {
		reason string
		large  func() *fnv1.RunFunctionRequest
	}{
		"Workloads": {
			reason: "four Deployments may have environments of 1.2 MB each",
			large:  func() *fnv1.RunFunctionRequest { return largeWorkloads(4, 1_200_000) },
		},
		"PolicyOfManyValues": {
			reason: "a claim that is older than the schema's bounds may have any policy",
			large: func() *fnv1.RunFunctionRequest {
				return largePolicy(many(300_000, func(int) any { return []any{} }))
			},
		},
		"PolicyOfNumbers": {
			reason: "etcd takes 1.5 MB of JSON, of which protobuf may make more than is read of a request",
			large: func() *fnv1.RunFunctionRequest {
				return largePolicy(many(700_000, func(int) any { return 1 }))
			},
		},
		"NestedPolicy": {
			reason: "protobuf takes no message that is nested more than 10,000 deep",
			large:  func() *fnv1.RunFunctionRequest { return largePolicy(nested(4500)) },
		},
		"ServiceAccounts": {
			reason: "so may ServiceAccounts that the claim names, of which a team writes all",
			large: func() *fnv1.RunFunctionRequest {
				return largeOfTeam("ServiceAccount", func(p *plain, i int, o map[string]any) {
					p.required[fmt.Sprint("ServiceAccount|v1|team-a|sa-", i)] = o
				})
			},
		},
		"VolumeClaims": {
			reason: "and its volume claims",
			large: func() *fnv1.RunFunctionRequest {
				return largeOfTeam("PersistentVolumeClaim", func(p *plain, i int, o map[string]any) {
					o["spec"] = map[string]any{"selector": map[string]any{"matchLabels": fields(500, "a")}, "volumeName": "pv"}
					p.required[fmt.Sprint("PersistentVolumeClaim|v1|team-a|disk-", i)] = o
				})
			},
		},
		"ComposedServiceAccounts": {
			reason: "and what it adds to those that are composed",
			large: func() *fnv1.RunFunctionRequest {
				return largeOfTeam("ServiceAccount", func(p *plain, i int, o map[string]any) {
					p.observed[fmt.Sprintf("shop-s-%d.serviceaccount", i)] = o
				})
			},
		},
		"Labels": {
			reason: "the claim itself may have labels beside all that it composes",
			large: func() *fnv1.RunFunctionRequest {
				return hostile(func(p *plain) {
					p.hundred(nil)
					p.xr["metadata"].(map[string]any)["labels"] = fields(mostValues, "")
				})
			},
		},
	}
	for name, tc := range cases { //nolint:paralleltest // See above.
		t.Run(name, func(t *testing.T) {
			for allowed, rules := range map[bool][]any{true: {map[string]any{"pattern": "*", "namespaces": []any{"*"}}}, false: {}} {
				if got := staysGranted(t, conn, tc.large(), rules); got != allowed {
					t.Errorf("%s: want the association desired: %t, got %t", tc.reason, allowed, got)
				}
			}
		})
	}
}

// staysGranted says whether an association that is observed beside a large request is
// desired, where the rules allow roles.
func staysGranted(t *testing.T, conn *grpc.ClientConn, req *fnv1.RunFunctionRequest, rules []any) bool {
	t.Helper()
	const key = "sa.association.0000000000"
	in := req.GetInput().AsMap()
	in["settings"].(map[string]any)["aws"].(map[string]any)["allowedRoles"] = rules
	req.Input = encode(in)
	req.Observed.Resources[key] = &fnv1.Resource{Resource: encode(fromYAML(`
apiVersion: eks.aws.m.upbound.io/v1beta1
kind: PodIdentityAssociation
metadata: {name: sa, namespace: team-a, annotations: {serviceconnections.io/needed-by: s-0/awsRole}}
spec: {forProvider: {roleArn: "arn:aws:iam::123456789012:role/role-0", namespace: team-a, serviceAccount: sa}}
`))}
	rsp, err := fnv1.NewFunctionRunnerServiceClient(conn).RunFunction(t.Context(), req)
	if err != nil {
		t.Fatalf("RunFunction(...) of %d bytes: %v", proto.Size(req), err)
	}
	for _, r := range rsp.GetResults() {
		if r.GetSeverity() == fnv1.Severity_SEVERITY_FATAL {
			t.Fatalf("RunFunction(...): %s", r.GetMessage())
		}
	}
	_, desired := rsp.GetDesired().GetResources()[key]
	return desired
}

// A caller makes one call after the other.
type caller struct {
	took []time.Duration
	errs []error
}

func (c *caller) call(ctx context.Context, conn *grpc.ClientConn, req []byte, until time.Time) {
	for time.Now().Before(until) {
		start := time.Now()
		var answer []byte
		err := conn.Invoke(ctx, fnv1.FunctionRunnerService_RunFunction_FullMethodName, req, &answer, grpc.ForceCodecV2(encoded{}))
		c.took, c.errs = append(c.took, time.Since(start)), append(c.errs, err)
	}
}

// TestTogether makes as many large calls at once as Crossplane does, beside small
// ones of others. The shipped limit of memory is that of the pod: beyond it the
// function is killed, and nobody is answered.
func TestTogether(t *testing.T) { //nolint:paralleltest // One at a time has the cores.
	binary := built(t)
	small, err := proto.Marshal(hostile(func(p *plain) { p.services(fromYAML(anyService)) }))
	if err != nil {
		t.Fatal(err)
	}
	for name, of := range largeRequests { //nolint:paralleltest // See above.
		t.Run(name, func(t *testing.T) {
			large, err := proto.Marshal(of())
			if err != nil {
				t.Fatal(err)
			}
			p, conn := started(t, binary)
			ctx, cancel := context.WithTimeout(t.Context(), tooLong)
			defer cancel()

			teams, others := make([]caller, workers), make([]caller, 4)
			until := time.Now().Add(together)
			var all sync.WaitGroup
			for i := range teams {
				all.Go(func() { teams[i].call(ctx, conn, large, until) })
			}
			for i := range others {
				all.Go(func() { others[i].call(ctx, conn, small, until) })
			}
			all.Wait()

			used := memoryOf(t, p.PID)
			answered, refused := 0, 0
			for _, c := range teams {
				for _, err := range c.errs {
					switch {
					case err == nil:
						answered++
					case status.Code(err) == codes.ResourceExhausted:
						refused++
					default:
						t.Fatalf("RunFunction(...): want an answer or that it is tried again, got %v", err)
					}
				}
			}
			var took []time.Duration
			for _, c := range others {
				for i, err := range c.errs {
					if err != nil {
						t.Fatalf("RunFunction(...) of a small claim: want an answer, got %v", err)
					}
					took = append(took, c.took[i])
				}
			}
			slices.Sort(took)
			p99 := took[len(took)*99/100]
			t.Logf("%d bytes, %d at once: %d answered, %d refused, %d MiB; beside them %d small ones: half within %s, 99%% within %s, all within %s", len(large), workers,
				answered, refused, used/mebibyte, len(took), took[len(took)/2].Round(time.Millisecond), p99.Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
			if answered == 0 {
				t.Error("RunFunction(...): want that large requests are answered as well, one after the other")
			}
			if used > tooMuch {
				t.Errorf("RunFunction(...): want at most %d MiB of memory, got %d MiB", tooMuch/mebibyte, used/mebibyte)
			}
			if p99 > tooLate {
				t.Errorf("RunFunction(...) of a small claim: want 99%% of answers within %s, got %s", tooLate, p99)
			}
		})
	}
}
