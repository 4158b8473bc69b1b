package connection

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// cloudSQL connects to a Cloud SQL instance through the Cloud SQL Auth Proxy, as a
// registered Google service account.
var cloudSQL = Type{
	Type: claim.Type{
		Name: claim.TypeCloudSQL,
		Fields: []claim.Field{
			{
				Name: "config.cloudSqlConnectionName", Required: true, In: func(c *claim.Connection) any { return &c.Config.CloudSQLConnectionName }, MaxLength: 256,
				Forms: []claim.Form{claim.Matching(`^`+instanceForm+`$`, "must be project:region:instance, as Cloud SQL shows it")},
			},
			{
				Name: "config.cloudSqlDatabasePort", Required: true, In: func(c *claim.Connection) any { return &c.Config.CloudSQLDatabasePort },
				Range: &claim.Range{Min: 1, Max: 65535},
				Forms: []claim.Form{claim.Not(proxyHTTPPort, "the proxy's own health checks listen on this port; use another")},
			},
			{
				Name: "config.cloudSqlServiceAccount", Required: true, In: func(c *claim.Connection) any { return &c.Config.CloudSQLServiceAccount }, MaxLength: maxEmail,
				Forms: []claim.Form{claim.Matching(`^(`+accountForm+`|`+emailForm+`)$`, "must be a service account id in the cluster's project, or its e-mail")},
			},
			{Name: "config.ipType", In: func(c *claim.Connection) any { return &c.Config.IPType }, Enum: []string{"Public", "Private", "PSC"}},
			{Name: "config.autoIamAuthn", In: func(c *claim.Connection) any { return &c.Config.AutoIAMAuthn }},
			{Name: "env", In: func(c *claim.Connection) any { return &c.Env }, Of: []claim.Field{
				named("host", workload.HostNames, "HOST, such as PGHOST or ORDERS_DB_HOST", func(c *claim.Connection) any { return &c.Env.Host }),
				named("port", workload.PortNames, "PORT, such as PGPORT or ORDERS_DB_PORT", func(c *claim.Connection) any { return &c.Env.Port }),
				named("instanceConnectionName", workload.InstanceNames, "INSTANCE, INSTANCE_NAME or CONNECTION_NAME, such as SQL_INSTANCE or ORDERS_DB_INSTANCE", func(c *claim.Connection) any { return &c.Env.InstanceConnectionName }),
			}},
		},
		Together: []claim.Together{apart("host", hostVariable), apart("port", portVariable), apart("instanceConnectionName", instanceVariable), {
			Rule: `[self.filter(c, c.type == 'cloudSql' && has(c.config) && has(c.config.cloudSqlDatabasePort)).map(c, c.config.cloudSqlDatabasePort)]` +
				`.all(ports, ports.all(p, ports.exists_one(o, o == p)))`,
			Holds: func(databases []*claim.Connection) bool {
				ports := map[int32]bool{}
				for _, d := range databases {
					if ports[d.Config.CloudSQLDatabasePort] && d.Config.CloudSQLDatabasePort != 0 {
						return false
					}
					ports[d.Config.CloudSQLDatabasePort] = true
				}
				return true
			},
			Message: "two databases of a service have one port, and all containers of a pod share its ports; give one of them another config.cloudSqlDatabasePort",
		}},
	},
	Family: &googleFamily,
	Grants: []*GrantKind{&memberGrant},
	Injects: workload.Forms{
		Env: map[string]string{
			hostVariable.Name:     `^127[.]0[.]0[.]1$`,
			portVariable.Name:     `^[0-9]{1,5}$`,
			instanceVariable.Name: `^` + instanceForm + `$`,
		},
		Variables: []workload.Variable{hostVariable, portVariable, instanceVariable},
		Sidecar:   proxyForm,
		Most:      claim.MaxConnections,
	},
	GoesOn: func(part claim.Injection, as claim.Connection) bool {
		// Of its variables, only that of the instance has such a value.
		return slices.ContainsFunc(part.Env, func(e claim.EnvVar) bool { return e.Value == as.Config.CloudSQLConnectionName })
	},
	Expand: expandCloudSQL,
	Route: func(d Drawn) Route {
		return Route{Credential: memberKind.namespaced.Kind, Steps: []Step{
			stepOfAccount(d, d.Config.CloudSQLServiceAccount),
			{Kind: "Cloud SQL instance", Name: d.Config.CloudSQLConnectionName},
		}}
	},
}

// named is the field of a variable's name, of which the message says how it ends.
func named(field string, names *regexp.Regexp, ends string, in func(*claim.Connection) any) claim.Field {
	return claim.Field{Name: field, In: in, MaxLength: workload.MaxVariable, Forms: []claim.Form{claim.Matching(names.String(),
		"must be capital letters, digits and _, with a word for databases such as DB, DATABASE, PG, POSTGRES, MYSQL or SQL before "+ends)}}
}

// apart are the names of a variable, of all databases of a service.
func apart(field string, v workload.Variable) claim.Together {
	name := func(of string) string {
		return strings.NewReplacer("FIELD", field, "OF", of, "NAME", v.Name).Replace(
			`(has(OF.env) && has(OF.env.FIELD) ? OF.env.FIELD : !has(OF.name) || OF.name == '' ? 'NAME' : OF.name.upperAscii().replace('-', '_') + '_NAME')`)
	}
	return claim.Together{
		Rule: `self.all(c, c.type != 'cloudSql' || self.exists_one(o, o.type == 'cloudSql' && ` + name("o") + ` == ` + name("c") + `))`,
		Holds: func(databases []*claim.Connection) bool {
			names := map[string]bool{}
			for _, d := range databases {
				names[v.Of(d.Name, d.Env)] = true
			}
			return len(names) == len(databases)
		},
		Message: "two databases of a service have one variable; give one of them another env." + field,
	}
}

// ProxyContainer is the name of the Cloud SQL Auth Proxy's container.
const ProxyContainer = "sc-cloud-sql-proxy"

// The variables of a database: where its proxy listens, and which instance it reaches.
var (
	hostVariable     = workload.Variable{Name: "DB_HOST", Names: workload.HostNames, Given: func(v claim.Variables) string { return v.Host }}
	portVariable     = workload.Variable{Name: "DB_PORT", Names: workload.PortNames, Given: func(v claim.Variables) string { return v.Port }}
	instanceVariable = workload.Variable{Name: "DB_INSTANCE_CONNECTION_NAME", Names: workload.InstanceNames, Given: func(v claim.Variables) string { return v.InstanceConnectionName }}
)

// instanceForm is that of a Cloud SQL connection name. It becomes an argument of the
// proxy, which takes options after a question mark and flags after a dash, so it is
// narrow.
const instanceForm = `([a-z0-9][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]:[a-z0-9-]+:[a-z][a-z0-9-]{0,97}`

// proxyHTTPPort is where the proxy answers its probes.
const proxyHTTPPort = 9801

// proxyUser is the nonroot user of the proxy's image
// (github.com/GoogleCloudPlatform/cloud-sql-proxy, Dockerfile).
const proxyUser = 65532

// proxyForm is what the proxy may be and do. Its image is free, since a platform may
// mirror it.
var proxyForm = workload.SidecarForm{
	Name:     ProxyContainer,
	Instance: `^` + instanceForm + `[?]port=[1-9][0-9]{0,4}(&(private-ip|psc|auto-iam-authn)=true)*$`,
	Flags: []string{
		"--structured-logs", "--exit-zero-on-sigterm", "--health-check", "--http-address=0.0.0.0",
		"--http-port=" + strconv.Itoa(proxyHTTPPort), "--private-ip", "--psc", "--auto-iam-authn",
	},
	PortVariable: portVariable.Name,
	Port:         claim.ContainerPort{Name: "sc-proxy", ContainerPort: proxyHTTPPort, Protocol: "TCP"},
	Probes:       []string{"/startup", "/liveness"},
	SecurityContext: claim.SecurityContext{
		RunAsNonRoot:           true,
		RunAsUser:              proxyUser,
		ReadOnlyRootFilesystem: true,
		Capabilities:           claim.Capabilities{Drop: []string{"ALL"}},
		SeccompProfile:         claim.SeccompProfile{Type: "RuntimeDefault"},
	},
}

// expandCloudSQL: the platform has given the account roles/cloudsql.client. The
// function grants no role on a project.
func expandCloudSQL(c Context) Expansion {
	cfg := c.Connection.Config
	e := c.google(cfg.CloudSQLServiceAccount)
	if c.Settings.GCP == nil {
		return e
	}
	e.Injection = claim.Injection{
		Env: []claim.EnvVar{
			{Name: hostVariable.Of(c.Connection.Name, c.Connection.Env), Value: "127.0.0.1"},
			{Name: portVariable.Of(c.Connection.Name, c.Connection.Env), Value: strconv.Itoa(int(cfg.CloudSQLDatabasePort))},
			{Name: instanceVariable.Of(c.Connection.Name, c.Connection.Env), Value: cfg.CloudSQLConnectionName},
		},
		InitContainers: []claim.Sidecar{c.proxy()},
	}
	return e
}

// proxy is a native sidecar, placed before the pod's own init containers, so
// that a migration in one of them reaches the database.
func (c Context) proxy() claim.Sidecar {
	cfg, p, form := c.Connection.Config, c.Settings.GCP.Proxy, proxyForm
	args := []string{
		cfg.CloudSQLConnectionName + "?port=" + strconv.Itoa(int(cfg.CloudSQLDatabasePort)),
		"--structured-logs",
		"--exit-zero-on-sigterm",
		"--health-check",
		"--http-address=0.0.0.0",
		"--http-port=" + strconv.Itoa(proxyHTTPPort),
	}
	switch cfg.IPType {
	case "Private":
		args = append(args, "--private-ip")
	case "PSC":
		args = append(args, "--psc")
	}
	if cfg.AutoIAMAuthn != nil && *cfg.AutoIAMAuthn {
		args = append(args, "--auto-iam-authn")
	}
	return claim.Sidecar{
		Name:          form.Name,
		Image:         p.Image,
		Args:          args,
		RestartPolicy: "Always",
		Ports:         []claim.ContainerPort{form.Port},
		// The pod's own init containers wait for the startup probe. There is no
		// readiness probe: a database that is down must not take the pod out of
		// its Services (cloud-sql-proxy, examples/k8s-health-check).
		StartupProbe:    probe("/startup", 1, 60),
		LivenessProbe:   probe("/liveness", 30, 3),
		Resources:       claim.Resources{Requests: p.Resources.Requests, Limits: p.Resources.Limits},
		SecurityContext: form.SecurityContext,
	}
}

func probe(path string, period, failures int32) claim.Probe {
	return claim.Probe{
		HTTPGet:          claim.HTTPGet{Path: path, Port: proxyHTTPPort},
		PeriodSeconds:    period,
		TimeoutSeconds:   10,
		FailureThreshold: failures,
	}
}
