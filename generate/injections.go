package main

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

// What connections inject, and the forms of it, for the tests of the admission
// policies. Their module doesn't import the connections, which need other versions
// of Kubernetes' modules than the API server's library.
const (
	injectionsFile = "test/admission/testdata/injections.yaml"
	formsFile      = "test/admission/testdata/forms.yaml"
)

// injectionSettings of a cluster in which each type of connection is allowed.
const injectionSettings = `
cluster: {name: prod}
aws: {accountId: "123456789012", region: eu-west-1, clusterName: prod, oidcIssuer: "https://oidc.example.com/id/1"}
azure: {subscriptionId: 00000000-1111-2222-3333-444444444444, tenantId: 11111111-2222-3333-4444-555555555555, oidcIssuer: "https://oidc.example.com/id/1"}
gcp: {projectId: my-project-123456}
`

// An injected connection, and in what cluster.
type injected struct{ name, settings, connection string }

// injections of each type, with all that changes them.
var injections = []injected{
	{"podIdentity", "{}", "{type: awsRole, role: my-app-s3-access}"},
	{"podIdentityIPv6", "{aws: {ipFamily: IPv6}}", "{type: awsRole, role: my-app-s3-access}"},
	{"irsa", "{aws: {mode: IRSA}}", `{type: awsRole, role: "arn:aws:iam::123456789012:role/team-a/my-app-s3-access"}`},
	{"azure", "{}", "{type: azureManagedIdentity, identityName: my-app, resourceGroup: rg, subscriptionId: 00000000-1111-2222-3333-444444444444}"},
	{"cloudSql", "{}", "{type: cloudSql, config: {cloudSqlConnectionName: \"example.com:my-project-123456:us-east1:my-instance\", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: my-account, ipType: PSC, autoIamAuthn: true}}"},
	{"cloudSqlPrivate", "{}", "{type: cloudSql, config: {cloudSqlConnectionName: \"my-project-123456:us-east1:my-instance\", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: my-account, ipType: Private}}"},
	{"cloudSqlNamed", "{}", "{type: cloudSql, name: read-only, config: {cloudSqlConnectionName: \"my-project-123456:us-east1:replica\", cloudSqlDatabasePort: 5433, cloudSqlServiceAccount: my-account, ipType: Private, autoIamAuthn: true}}"},
	{"cloudSqlGivenVariables", "{}", "{type: cloudSql, name: orders, env: {host: PGHOST, port: PGPORT}, config: {cloudSqlConnectionName: \"my-project-123456:us-east1:orders\", cloudSqlDatabasePort: 5434, cloudSqlServiceAccount: my-account}}"},
	{"disk", "{}", "{type: disk, config: {diskName: cache-storage}}"},
	{"diskNamed", "{}", "{type: disk, name: uploads-2, config: {diskName: uploads, fsGroup: 2000}}"},
	{"diskOfSameClaim", "{}", "{type: disk, name: thumbnails, config: {diskName: cache-storage, mountPath: /srv/thumbnails, subPath: thumbnails}}"},
	{"diskOfSameClaimReadOnly", "{}", "{type: disk, name: all, config: {diskName: cache-storage, mountPath: /srv/all, readOnly: true}}"},
	{"diskReadOnly", "{}", "{type: disk, config: {diskName: cache-storage, mountPath: /srv/cache, subPath: a/b, readOnly: true, fsGroup: 2000}}"},
}

// writeInjections as the connections emit them.
func writeInjections(path string) error {
	all := map[string]claim.Injection{}

	for _, in := range injections {
		injection, err := in.expand()
		if err != nil {
			return fmt.Errorf("cannot expand connection %s for %s: %w", in.name, path, err)
		}

		all[in.name] = injection
	}

	return write(path, "generate/injections.go", all)
}

// expand a connection of service api, in ServiceConnection shop of namespace
// team-a, whose ServiceAccount has the annotations that an injection waits for.
func (i injected) expand() (claim.Injection, error) {
	var base, over, entry map[string]any

	for s, into := range map[string]*map[string]any{injectionSettings: &base, i.settings: &over, i.connection: &entry} {
		if err := yaml.Unmarshal([]byte(s), into); err != nil {
			return claim.Injection{}, fmt.Errorf("cannot decode %s: %w", s, err)
		}
	}

	s, err := settings.Decode(base, over)
	if err != nil {
		return claim.Injection{}, fmt.Errorf("cannot decode settings: %w", err)
	}

	c := &claim.Claim{Name: "shop", Namespace: "team-a", UID: "shop", Namespaced: true}
	c.Read(connection.Builtin().Schema(), []any{map[string]any{"name": "api", "connections": []any{entry}}}, field.NewPath("spec", "services"))

	if err := c.Errors.ToAggregate(); err != nil {
		return claim.Injection{}, err
	}

	const serviceAccount = "shop-api"

	known := map[string]any{"metadata": map[string]any{"annotations": map[string]any{
		"azure.workload.identity/client-id": "22222222-3333-4444-5555-666666666666",
	}}}
	e := connection.Builtin().Expand(connection.Context{
		Claim: c, Service: &c.Services[0], Connection: c.Services[0].Connections[0],
		ServiceAccount: serviceAccount, Settings: s,
		Observed: connection.Observed{Composed: map[string]connection.Composed{connection.ServiceAccountKey(serviceAccount): {Object: known}}},
	})

	if !e.Published {
		return claim.Injection{}, fmt.Errorf("it is not published: %s: %s", e.Verdict.Reason, e.Verdict.Message)
	}

	return e.Injection, nil
}
