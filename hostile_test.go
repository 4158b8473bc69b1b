//go:build !race

// The race detector would take minutes to make the requests, and sees nothing of the
// function, which is another process. make test runs these tests without it.

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/prometheus/procfs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/test/decoded"
	"github.com/serviceconnections/function-service-connections/test/process"
)

const (
	// largest request that the function takes, in bytes.
	largest = 4 * mebibyte

	// mostValues in maps and lists of a request that the function takes.
	mostValues = largest / 18

	// tooLong for an answer. It takes a second or a few, by how busy the machine
	// is; what grows with the square of a request takes minutes.
	tooLong = time.Minute

	// tooMuch memory in bytes for one request of the largest size, the function's
	// own included. It takes up to 200 MiB, by when garbage is collected.
	tooMuch = 256 * mebibyte
)

// A shape of a request that somebody made large in one place, n times.
type shape func(n int) *fnv1.RunFunctionRequest

// largest request of a shape that the function takes, or a little less.
func (s shape) largest() *fnv1.RunFunctionRequest {
	const n = 500
	few, more := s(n), s(2*n)
	room := func(most, few, more int) float64 { return float64(most-few) * n / float64(max(1, more-few)) }
	add := min(room(largest, proto.Size(few), proto.Size(more)), room(mostValues, decoded.Values(few), decoded.Values(more)))
	for ; ; add = add*0.98 - 1 {
		if req := s(n + int(add)); proto.Size(req) <= largest && decoded.Values(req) <= mostValues {
			return req
		}
	}
}

const hostileSettings = `
cluster: {name: prod-eu}
aws: {accountId: "123456789012", region: eu-west-1, clusterName: prod-eu, allowedRoles: [{pattern: "*", namespaces: ["*"]}]}
disks: [{name: uploads, namespaces: ["*"], create: {size: 1Gi}}]
`

// A request in plain values, to be made hostile.
type plain struct {
	xr, settings map[string]any
	observed     map[string]map[string]any
	required     map[string]map[string]any
	desired      map[string]map[string]any
}

func fromYAML(y string) map[string]any {
	m := map[string]any{}
	if err := yaml.Unmarshal([]byte(y), &m); err != nil {
		panic(err) // A mistake in this file.
	}
	return m
}

// request for the function, after a change.
func hostile(change func(p *plain)) *fnv1.RunFunctionRequest {
	p := &plain{
		xr: fromYAML(`
apiVersion: serviceconnections.io/v1alpha1
kind: ServiceConnection
metadata: {name: shop, namespace: team-a, uid: 11111111-2222-3333-4444-555555555555}
spec: {services: []}
`),
		settings: fromYAML(hostileSettings),
		observed: map[string]map[string]any{}, required: map[string]map[string]any{}, desired: map[string]map[string]any{},
	}
	change(p)
	req := &fnv1.RunFunctionRequest{
		Input:             encode(map[string]any{"settings": p.settings}),
		Observed:          &fnv1.State{Composite: &fnv1.Resource{Resource: encode(p.xr)}, Resources: map[string]*fnv1.Resource{}},
		Desired:           &fnv1.State{Resources: map[string]*fnv1.Resource{}},
		RequiredResources: map[string]*fnv1.Resources{},
	}
	for key, o := range p.observed {
		req.Observed.Resources[key] = &fnv1.Resource{Resource: encode(o)}
	}
	for key, o := range p.desired {
		req.Desired.Resources[key] = &fnv1.Resource{Resource: encode(o)}
	}
	for key, o := range p.required {
		req.RequiredResources[key] = &fnv1.Resources{Items: []*fnv1.Resource{{Resource: encode(o)}}}
	}
	return req
}

func encode(m map[string]any) *structpb.Struct {
	s, err := structpb.NewStruct(m)
	if err != nil {
		panic(err) // A mistake in this file.
	}
	return s
}

// many values.
func many(n int, of func(i int) any) []any {
	l := make([]any, n)
	for i := range l {
		l[i] = of(i)
	}
	return l
}

func fields(n int, value any) map[string]any {
	m := map[string]any{}
	for i := range n {
		m[fmt.Sprint("f", i)] = value
	}
	return m
}

// services of the claim.
func (p *plain) services(services ...any) { p.xr["spec"] = map[string]any{"services": services} }

// hundred services with two connections each.
func (p *plain) hundred(change func(s map[string]any)) {
	p.services(many(100, func(i int) any {
		s := fromYAML(fmt.Sprintf(`{name: s-%d, connections: [{type: awsRole, role: role-%d}, {type: disk, config: {diskName: uploads}}]}`, i, i))
		if change != nil {
			change(s)
		}
		return s
	})...)
}

// one service with a connection that is made hostile.
func (p *plain) connection(typ string, change func(s, c map[string]any)) {
	s, c := map[string]any{"name": "api"}, map[string]any{"type": typ}
	change(s, c)
	s["connections"] = []any{c}
	p.services(s)
}

const anyService = `{name: api, connections: [{type: awsRole, role: role}]}`

var hostileShapes = map[string]shape{
	"Services": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.services(many(n, func(i int) any {
				return map[string]any{"name": fmt.Sprint("s", i), "connections": []any{map[string]any{"type": "awsRole", "role": "r"}}}
			})...)
		})
	},
	"EmptyServices": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) { p.services(many(n, func(int) any { return map[string]any{} })...) })
	},
	"NullServices": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) { p.services(many(n, func(int) any { return nil })...) })
	},
	"Connections": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.services(map[string]any{"name": "api", "connections": many(n, func(int) any { return map[string]any{"type": "disk"} })})
		})
	},
	"UnknownConnections": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.services(map[string]any{"name": "api", "connections": many(n, func(i int) any { return map[string]any{"type": fmt.Sprint("t", i)} })})
		})
	},
	"Containers": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.connection("awsRole", func(s, c map[string]any) {
				s["containers"] = many(n, func(i int) any { return fmt.Sprint("c", i) })
				c["role"] = "r"
			})
		})
	},
	"UnknownFieldsOfService": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			s := fields(n, nil)
			s["name"] = "api"
			p.services(s)
		})
	},
	"UnknownFieldsOfConnection": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			c := fields(n, nil)
			c["type"] = "disk"
			p.services(map[string]any{"name": "api", "connections": []any{c}})
		})
	},
	"PolicyARNs": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.connection("awsRole", func(_, c map[string]any) {
				c["role"] = "r"
				c["create"] = map[string]any{"policyArns": many(n, func(i int) any { return fmt.Sprintf("arn:aws:iam::aws:policy/p%07d", i) })}
			})
		})
	},
	"PolicyDocuments": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.services(many(100, func(i int) any {
				return map[string]any{"name": fmt.Sprint("s", i), "serviceAccountName": "sa", "connections": []any{map[string]any{"type": "awsRole", "role": "r", "create": map[string]any{
					"policy": map[string]any{"Version": "2012-10-17", "Statement": many(n, func(int) any { return map[string]any{} })},
				}}}}
			})...)
		})
	},
	"LongServiceName": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.connection("awsRole", func(s, _ map[string]any) { s["name"] = strings.Repeat("a", n) })
		})
	},
	"LongServiceAccountName": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.connection("awsRole", func(s, c map[string]any) { s["serviceAccountName"], c["role"] = strings.Repeat("a", n), "r" })
		})
	},
	"LongWorkloadName": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.connection("awsRole", func(s, c map[string]any) {
				s["workload"], c["role"] = map[string]any{"name": strings.Repeat("a", n)}, "r"
			})
		})
	},
	"LongRole": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.connection("awsRole", func(_, c map[string]any) {
				c["role"] = "arn:aws:iam::123456789012:role/" + strings.Repeat("a/", n) + "a"
			})
		})
	},
	"LongTargetRole": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.connection("awsRole", func(_, c map[string]any) {
				c["role"], c["targetRoleArn"] = "r", "arn:aws:iam::123456789012:role/"+strings.Repeat("a", n)
			})
		})
	},
	"LongPolicyARN": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.connection("awsRole", func(_, c map[string]any) {
				c["role"] = "r"
				c["create"] = map[string]any{"policyArns": []any{"arn:aws:iam::aws:policy/" + strings.Repeat("a", n)}}
			})
		})
	},
	"LongMountPath": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.connection("disk", func(_, c map[string]any) {
				c["config"] = map[string]any{"diskName": "uploads", "mountPath": strings.Repeat("/a", n)}
			})
		})
	},
	"LongConnectionName": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.connection("cloudSql", func(_, c map[string]any) {
				c["config"] = map[string]any{"cloudSqlConnectionName": strings.Repeat("a", n), "cloudSqlServiceAccount": "aaaaaaa", "cloudSqlDatabasePort": 1}
			})
		})
	},
	"LongClaimName": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(nil)
			p.xr["metadata"].(map[string]any)["name"] = strings.Repeat("a", n)
		})
	},
	"LongNamespace": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(nil)
			p.xr["metadata"].(map[string]any)["namespace"] = strings.Repeat("a", n)
		})
	},
	"LongKind": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.xr["kind"] = strings.Repeat("\x01", n)
			p.xr["spec"] = map[string]any{"services": "none"}
		})
	},
	"Nested": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			var v any
			for range 3000 {
				v = []any{v}
			}
			p.services(strings.Repeat("a", n), v, map[string]any{"name": v, "connections": []any{map[string]any{"type": "awsRole", "role": "r", "create": map[string]any{"policy": v}}}})
		})
	},
	"NestedPolicy": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			v := map[string]any{}
			for range 1500 {
				v = map[string]any{"a": v}
			}
			v["b"] = strings.Repeat("a", n)
			p.connection("awsRole", func(_, c map[string]any) {
				c["role"], c["create"] = "r", map[string]any{"policy": map[string]any{"Version": "2012-10-17", "Statement": []any{v}}}
			})
		})
	},
	"WrongType": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.connection("awsRole", func(_, c map[string]any) { c["role"] = many(n, func(int) any { return []any{} }) })
		})
	},
	"SettingsDisks": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(nil)
			p.settings["disks"] = many(n, func(i int) any { return map[string]any{"name": fmt.Sprint("d", i), "namespaces": []any{"*"}} })
		})
	},
	"SettingsWrongDisks": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(nil)
			p.settings["disks"] = many(n, func(int) any { return map[string]any{"name": 1} })
		})
	},
	"SettingsUnknownFields": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) { p.settings = fields(n, nil) })
	},
	"SettingsRules": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(nil)
			p.settings["aws"].(map[string]any)["allowedRoles"] = many(n, func(int) any { return map[string]any{"pattern": "*r*x", "namespaces": []any{"*"}} })
		})
	},
	"SettingsNamespaces": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(nil)
			p.settings["aws"].(map[string]any)["allowedRoles"] = []any{map[string]any{"pattern": "*", "namespaces": many(n, func(int) any { return "*x" })}}
		})
	},
	"SettingsPattern": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(nil)
			p.settings["aws"].(map[string]any)["allowedRoles"] = []any{map[string]any{"pattern": strings.Repeat("*r", n), "namespaces": []any{"*"}}}
		})
	},
	"SettingsBoundary": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.settings["aws"].(map[string]any)["createRoles"] = map[string]any{"namespaces": []any{"*"}, "permissionsBoundaryArn": "arn:aws:iam::aws:policy/" + strings.Repeat("a", n)}
		})
	},
	"ObservedServiceAccounts": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(nil)
			for i := range n {
				p.observed[fmt.Sprintf("sa-%d.serviceaccount", i)] = map[string]any{"apiVersion": "v1", "kind": "ServiceAccount"}
			}
		})
	},
	"ObservedAssociations": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(func(s map[string]any) { s["serviceAccountName"] = "sa" })
			for i := range n {
				p.observed[fmt.Sprintf("sa.association.%d", i)] = map[string]any{
					"apiVersion": "eks.aws.m.upbound.io/v1beta1", "kind": "PodIdentityAssociation",
					"spec": map[string]any{"forProvider": map[string]any{"roleArn": fmt.Sprint("arn:aws:iam::123456789012:role/role-", i%100)}},
				}
			}
		})
	},
	"ObservedCreatedRoles": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(func(s map[string]any) {
				s["connections"] = []any{map[string]any{"type": "awsRole", "role": "r", "create": map[string]any{}}}
			})
			for i := range n {
				p.observed[fmt.Sprintf("shop-s-1.ownedrole.%d", i)] = map[string]any{"apiVersion": "iam.aws.m.upbound.io/v1beta1", "kind": "Role"}
			}
		})
	},
	"ManagedFields": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(nil)
			p.observed["sa.serviceaccount"] = map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{
				"annotations": map[string]any{"serviceconnections.io/needed-by": "s-1"},
				"managedFields": many(n, func(i int) any {
					return map[string]any{"manager": "apiextensions.crossplane.io/composed", "operation": "Apply", "fieldsV1": map[string]any{fmt.Sprint("f:", i): map[string]any{}}}
				}),
			}}
		})
	},
	"OwnedListItems": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(nil)
			owned := map[string]any{}
			for i := range n {
				owned[fmt.Sprintf(`k:{"name":"n%d"}`, i)] = map[string]any{"f:name": map[string]any{}}
			}
			p.observed["sa.serviceaccount"] = map[string]any{
				"apiVersion": "v1", "kind": "ServiceAccount",
				"list": many(n, func(i int) any { return map[string]any{"name": fmt.Sprint("n", i)} }),
				"metadata": map[string]any{
					"annotations":   map[string]any{"serviceconnections.io/needed-by": "s-1"},
					"managedFields": []any{map[string]any{"manager": "apiextensions.crossplane.io/composed", "operation": "Apply", "fieldsV1": map[string]any{"f:list": owned}}},
				},
			}
		})
	},
	"NeededBy": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(nil)
			p.observed["sa.serviceaccount"] = map[string]any{
				"apiVersion": "v1", "kind": "ServiceAccount",
				"metadata": map[string]any{"annotations": map[string]any{"serviceconnections.io/needed-by": strings.Repeat("s-1/disk,", n)}},
			}
		})
	},
	"TrustPolicy": func(n int) *fnv1.RunFunctionRequest {
		return trustPolicy(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"` + strings.Repeat("*s", n) + `"}]}`)
	},
	"TrustPattern": func(n int) *fnv1.RunFunctionRequest {
		return trustPolicy(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"` + strings.Repeat("*s", min(n, 32_000)) + `"}]}`)
	},
	"TrustStatements": func(n int) *fnv1.RunFunctionRequest {
		return trustPolicy(`{"Version":"2012-10-17","Statement":[` + strings.Repeat(`{"Effect":"Allow","Principal":"*","Action":"x"},`, min(n, 1300)) + `{"Effect":"Allow","Principal":"*","Action":"x"}]}`)
	},
	"TrustConditions": func(n int) *fnv1.RunFunctionRequest {
		keys, err := json.Marshal(fields(min(n, 4500), "${a}*"))
		if err != nil {
			panic(err)
		}
		return trustPolicy(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Condition":{"StringLike":` + string(keys) + `}}}`)
	},
	"TrustNested": func(n int) *fnv1.RunFunctionRequest {
		n = min(n, 30_000)
		return trustPolicy(`{"Version":"2012-10-17","Statement":` + strings.Repeat(`[`, n) + strings.Repeat(`]`, n) + `}`)
	},
	"Template": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(func(s map[string]any) { s["workload"] = map[string]any{"name": "web"} })
			p.required["Deployment|apps/v1|team-a|web"] = deployment(n)
		})
	},
	"RenderedTemplate": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(func(s map[string]any) { s["workload"] = map[string]any{"name": "web"} })
			d := deployment(1)
			template := d["spec"].(map[string]any)["template"].(map[string]any)
			template["spec"].(map[string]any)["containers"] = []any{map[string]any{"name": "c", "env": many(n, func(i int) any { return map[string]any{"name": fmt.Sprint("n", i)} })}}
			record, err := json.Marshal(map[string]any{"env": map[string]any{"c": many(n, func(i int) any { return fmt.Sprint("m", i) })}})
			if err != nil {
				panic(err)
			}
			template["metadata"] = map[string]any{"annotations": map[string]any{"serviceconnections.io/injected": string(record)}}
			p.desired["web"] = d
			p.observed["web"] = d
			p.required["ServiceAccount|v1|team-a|shop-s-0"] = map[string]any{"apiVersion": "v1", "kind": "ServiceAccount"}
		})
	},
	"RenderedWorkloads": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(nil)
			for i := range n {
				p.desired[fmt.Sprint("p", i)] = map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": fmt.Sprint("p", i)}, "spec": map[string]any{}}
			}
		})
	},
	"PreviousServices": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(func(s map[string]any) { s["workload"] = map[string]any{"name": "web"} })
			p.xr["status"] = map[string]any{"services": many(n, func(i int) any {
				return map[string]any{"name": fmt.Sprint("s-", i%100), "workload": map[string]any{"name": "x"}}
			})}
		})
	},
	"PreviousVolumes": func(n int) *fnv1.RunFunctionRequest {
		return hostile(func(p *plain) {
			p.hundred(nil)
			p.xr["status"] = map[string]any{"services": []any{map[string]any{"name": "s-1", "injection": map[string]any{"volumes": many(n, func(int) any { return map[string]any{"name": "v"} })}}}}
		})
	},
	"RequiredItems": func(n int) *fnv1.RunFunctionRequest {
		req := hostile(func(p *plain) { p.hundred(nil) })
		req.RequiredResources["x"] = &fnv1.Resources{}
		for range n {
			req.RequiredResources["x"].Items = append(req.RequiredResources["x"].Items, &fnv1.Resource{Resource: encode(map[string]any{})})
		}
		return req
	},
	"Environment": func(n int) *fnv1.RunFunctionRequest {
		req := hostile(func(p *plain) { p.hundred(nil) })
		req.Context = encode(map[string]any{"apiextensions.crossplane.io/environment": map[string]any{"serviceConnections": fields(n, map[string]any{})}})
		return req
	},
}

// trustPolicy of a role that a hundred services of one ServiceAccount use.
func trustPolicy(policy string) *fnv1.RunFunctionRequest {
	return hostile(func(p *plain) {
		p.hundred(func(s map[string]any) {
			s["serviceAccountName"] = "sa"
			s["connections"] = []any{map[string]any{"type": "awsRole", "role": "role"}}
		})
		p.observed["sa.role.a84bf5cb4bba85f9"] = map[string]any{
			"apiVersion": "iam.aws.m.upbound.io/v1beta1", "kind": "Role",
			"status": map[string]any{"atProvider": map[string]any{"arn": "arn:aws:iam::123456789012:role/role", "assumeRolePolicy": policy}},
		}
	})
}

func deployment(n int) map[string]any {
	d := fromYAML(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: team-a}
spec: {template: {spec: {}}}
`)
	d["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["containers"] = many(n, func(i int) any { return map[string]any{"name": fmt.Sprint("c", i)} })
	return d
}

// TestHostile sends the largest requests to the function as a process, beside a usual
// one that must not wait for them. Each gets a process of its own, whose memory then
// is that request's. They go one after the other, since two at once would share the
// cores.
func TestHostile(t *testing.T) { //nolint:paralleltest // See above.
	binary := built(t)
	usual := hostile(func(p *plain) { p.services(fromYAML(anyService)) })

	for name, s := range hostileShapes { //nolint:paralleltest // See above.
		t.Run(name, func(t *testing.T) {
			req, err := proto.Marshal(s.largest())
			if err != nil {
				t.Fatal(err)
			}
			p, conn := started(t, binary)
			ctx, cancel := context.WithTimeout(t.Context(), tooLong)
			defer cancel()

			var beside error
			var all sync.WaitGroup
			all.Go(func() { _, beside = fnv1.NewFunctionRunnerServiceClient(conn).RunFunction(ctx, usual) })
			start := time.Now()
			// Encoded before and decoded after: that is the caller's time.
			var answer []byte
			err = conn.Invoke(ctx, fnv1.FunctionRunnerService_RunFunction_FullMethodName, req, &answer, grpc.ForceCodecV2(encoded{}))
			took := time.Since(start)
			all.Wait()
			if err != nil {
				t.Fatalf("RunFunction(...): want an answer within %s to a request of %d bytes, got %v", tooLong, len(req), err)
			}
			if beside != nil {
				t.Errorf("RunFunction(...) beside it: want an answer within %s, got %v", tooLong, beside)
			}
			rsp := &fnv1.RunFunctionResponse{}
			if err := proto.Unmarshal(answer, rsp); err != nil {
				t.Fatalf("RunFunction(...): want a response, got %v", err)
			}
			for _, r := range rsp.GetResults() {
				if strings.Contains(r.GetMessage(), "panicked") {
					t.Errorf("RunFunction(...): want no panic, got %s", r.GetMessage())
				}
			}
			used := memoryOf(t, p.PID)
			t.Logf("%d bytes were answered by %d in %s with %d MiB", len(req), len(answer), took.Round(time.Millisecond), used/mebibyte)
			if used > tooMuch {
				t.Errorf("RunFunction(...): want at most %d MiB of memory, got %d MiB", tooMuch/mebibyte, used/mebibyte)
			}
		})
	}
}

// encoded messages are sent and received as they are.
type encoded struct{}

func (encoded) Name() string { return "proto" }

func (encoded) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("%T is no encoded message", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func (encoded) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("%T is no place for an encoded message", v)
	}
	*b = data.Materialize()
	return nil
}

// memoryOf a process, resident at most, in bytes.
func memoryOf(t *testing.T, pid int) int {
	t.Helper()
	proc, err := procfs.NewProc(pid)
	if err != nil {
		t.Skipf("memory of a process can be read on Linux only: %v", err)
	}
	status, err := proc.NewStatus()
	if err != nil {
		t.Fatal(err)
	}
	return int(status.VmHWM) //nolint:gosec // No process has 8 EiB.
}

// built function, by its path.
func built(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "function")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return binary
}

// started function, and a connection to it, until the test ends.
func started(t *testing.T, binary string) (*process.Process, *grpc.ClientConn) {
	t.Helper()
	p, err := process.Start(t.Context(), t.Output(), binary, "--insecure", "--metrics-address=")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	conn, err := grpc.NewClient(p.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return p, conn
}
