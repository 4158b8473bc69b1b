package connection

import (
	"strconv"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// ProxyContainer is the name of the Cloud SQL Auth Proxy's container.
const ProxyContainer = "sc-cloud-sql-proxy"

// proxyUser is the nonroot user of the proxy's image
// (github.com/GoogleCloudPlatform/cloud-sql-proxy, Dockerfile).
const proxyUser = 65532

// cloudSQL connects to a Cloud SQL instance through the Cloud SQL Auth Proxy,
// as a registered Google service account. The platform has given that account
// roles/cloudsql.client; the function grants no role on a project.
func cloudSQL(c Context) Expansion {
	cfg := c.Connection.Config
	e := c.google(cfg.CloudSQLServiceAccount)
	if c.Settings.GCP == nil {
		return e
	}
	e.Injection = claim.Injection{
		Env: []claim.EnvVar{
			{Name: "DB_HOST", Value: "127.0.0.1"},
			{Name: "DB_PORT", Value: strconv.Itoa(int(cfg.CloudSQLDatabasePort))},
			{Name: "DB_INSTANCE_CONNECTION_NAME", Value: cfg.CloudSQLConnectionName},
		},
		InitContainers: []claim.Sidecar{c.proxy()},
	}
	return e
}

// proxy is a native sidecar, placed before the pod's own init containers, so
// that a migration in one of them reaches the database.
func (c Context) proxy() claim.Sidecar {
	cfg, p := c.Connection.Config, c.Settings.GCP.Proxy
	args := []string{
		cfg.CloudSQLConnectionName + "?port=" + strconv.Itoa(int(cfg.CloudSQLDatabasePort)),
		"--structured-logs",
		"--exit-zero-on-sigterm",
		"--health-check",
		"--http-address=0.0.0.0",
		"--http-port=" + strconv.Itoa(claim.ProxyHTTPPort),
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
		Name:          ProxyContainer,
		Image:         p.Image,
		Args:          args,
		RestartPolicy: "Always",
		Ports:         []claim.ContainerPort{{Name: "sc-proxy", ContainerPort: claim.ProxyHTTPPort, Protocol: "TCP"}},
		// The pod's own init containers wait for the startup probe. There is no
		// readiness probe: a database that is down must not take the pod out of
		// its Services (cloud-sql-proxy, examples/k8s-health-check).
		StartupProbe:  probe("/startup", 1, 60),
		LivenessProbe: probe("/liveness", 30, 3),
		Resources:     claim.Resources{Requests: p.Resources.Requests, Limits: p.Resources.Limits},
		SecurityContext: claim.SecurityContext{
			RunAsNonRoot:           true,
			RunAsUser:              proxyUser,
			ReadOnlyRootFilesystem: true,
			Capabilities:           claim.Capabilities{Drop: []string{"ALL"}},
			SeccompProfile:         claim.SeccompProfile{Type: "RuntimeDefault"},
		},
	}
}

func probe(path string, period, failures int32) claim.Probe {
	return claim.Probe{
		HTTPGet:          claim.HTTPGet{Path: path, Port: claim.ProxyHTTPPort},
		PeriodSeconds:    period,
		TimeoutSeconds:   10,
		FailureThreshold: failures,
	}
}
