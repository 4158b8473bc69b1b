package connection

import (
	"testing"
)

func TestCloudSQL(t *testing.T) {
	t.Parallel()

	const config = `cloudSqlConnectionName: "my-project:europe-west1:db", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: api-account`
	const connection = `{type: cloudSql, config: {` + config + `}}`
	expandCases(t, googleSettings, map[string]expandCase{
		"Public": {
			reason:     "the proxy listens on the port of the claim, as the account that an id names in the cluster's project",
			connection: connection,
			want: `
keys: [member]
identity: api-account@my-project.iam.gserviceaccount.com
family: google
decision: 3
published: true
verdict: Creating
annotations: {iam.gke.io/gcp-service-account: api-account@my-project.iam.gserviceaccount.com}
env: {DB_HOST: 127.0.0.1, DB_PORT: "5432", DB_INSTANCE_CONNECTION_NAME: "my-project:europe-west1:db"}
injection:
  initContainers:
  - name: sc-cloud-sql-proxy
    image: gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.28.0
    args: ["my-project:europe-west1:db?port=5432", --structured-logs, --exit-zero-on-sigterm, --health-check, --http-address=0.0.0.0, --http-port=9801]
    restartPolicy: Always
    ports: [{name: sc-proxy, containerPort: 9801, protocol: TCP}]
    startupProbe: {httpGet: {path: /startup, port: 9801}, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 60}
    livenessProbe: {httpGet: {path: /liveness, port: 9801}, periodSeconds: 30, timeoutSeconds: 10, failureThreshold: 3}
    readinessProbe: null
    resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {cpu: 500m, memory: 256Mi}}
    securityContext: {runAsNonRoot: true, runAsUser: 65532, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}
`,
		},
		"PublicStated": {
			reason:     "the proxy's default needs no flag",
			connection: `{type: cloudSql, config: {ipType: Public, autoIamAuthn: false, ` + config + `}}`,
			want: `
injection: {initContainers: [{args: ["my-project:europe-west1:db?port=5432", --structured-logs, --exit-zero-on-sigterm, --health-check, --http-address=0.0.0.0, --http-port=9801]}]}
`,
		},
		"Private": {
			reason:     "the instance's private address",
			connection: `{type: cloudSql, config: {ipType: Private, ` + config + `}}`,
			want: `
injection: {initContainers: [{args: ["my-project:europe-west1:db?port=5432", --structured-logs, --exit-zero-on-sigterm, --health-check, --http-address=0.0.0.0, --http-port=9801, --private-ip]}]}
`,
		},
		"PSCWithIAM": {
			reason:     "Private Service Connect, and a login as the account",
			connection: `{type: cloudSql, config: {ipType: PSC, autoIamAuthn: true, ` + config + `}}`,
			want: `
injection: {initContainers: [{args: ["my-project:europe-west1:db?port=5432", --structured-logs, --exit-zero-on-sigterm, --health-check, --http-address=0.0.0.0, --http-port=9801, --psc, --auto-iam-authn]}]}
`,
		},
		"Named": {
			reason:     "its variables have its name, and alone it needs no other arguments than one without",
			connection: `{type: cloudSql, name: read-only, config: {ipType: Private, ` + config + `}}`,
			want: `
env: {READ_ONLY_DB_HOST: 127.0.0.1, READ_ONLY_DB_PORT: "5432", READ_ONLY_DB_INSTANCE_CONNECTION_NAME: "my-project:europe-west1:db"}
injection: {initContainers: [{args: ["my-project:europe-west1:db?port=5432", --structured-logs, --exit-zero-on-sigterm, --health-check, --http-address=0.0.0.0, --http-port=9801, --private-ip]}]}
`,
		},
		"Proxy": {
			reason:     "image and resources are the platform's",
			settings:   `{gcp: {proxy: {image: "mirror.example.com/proxy:1", resources: {requests: {cpu: 1m}}}}}`,
			connection: connection,
			want: `
injection: {initContainers: [{image: "mirror.example.com/proxy:1", resources: {requests: {cpu: 1m, memory: null}, limits: null}}]}
`,
		},
		"DomainScoped": {
			reason:     "an id in a domain-scoped project is an e-mail with the project the other way round",
			settings:   `{gcp: {projectId: "example.com:my-project"}}`,
			connection: `{type: cloudSql, config: {cloudSqlConnectionName: "example.com:my-project:europe-west1:db", cloudSqlDatabasePort: 1, cloudSqlServiceAccount: api-account}}`,
			want: `
identity: api-account@my-project.example.com.iam.gserviceaccount.com
decision: 3
env: {DB_PORT: "1", DB_INSTANCE_CONNECTION_NAME: "example.com:my-project:europe-west1:db"}
grants: {member: {spec: {forProvider: {serviceAccountId: "projects/example.com:my-project/serviceAccounts/api-account@my-project.example.com.iam.gserviceaccount.com"}}}}
`,
		},
		"Email": {
			reason:     "an e-mail may name an account of another project",
			connection: `{type: cloudSql, config: {cloudSqlConnectionName: "my-project:europe-west1:db", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: api-account@their-project.iam.gserviceaccount.com}}`,
			want:       `{identity: api-account@their-project.iam.gserviceaccount.com, decision: 3}`,
		},
		"IdentityNotFound": {
			reason:     "what is missing for a moment withdraws no proxy",
			connection: connection,
			observed:   map[string]string{"member": notThere},
			want:       `{published: true, verdict: IdentityNotFound, env: {DB_HOST: 127.0.0.1}}`,
		},
		"Ready": {
			reason:     "a binding that is there connects",
			connection: connection,
			observed:   map[string]string{"member": `{status: ` + ready + `}`},
			want:       `{published: true, verdict: ""}`,
		},
		"NotConfigured": {
			reason:     "a cloud that the settings don't have injects no proxy",
			settings:   `{gcp: null}`,
			connection: connection,
			want:       `{keys: [], published: false, verdict: CloudNotConfigured, injection: {initContainers: null, env: null}}`,
		},
	})
}
