package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Issuer of the service account tokens that the API server signs, which a cloud
// must trust.
const Issuer = "https://oidc.example.org/clusters/one/"

// serverUsers are those whom the API server knows by a token.
var serverUsers = []user{
	admin, crossplane, rbacManager, webhook, exporter,
	provider(ProviderAWS), provider(ProviderAzure), provider(ProviderGCP), provider(ProviderKubernetes),
}

// prepare what the processes share: ports, keys, tokens.
func (c *ControlPlane) prepare(ctx context.Context) error {
	for _, tool := range []string{
		c.tool("etcd"), c.kubernetes("kube-apiserver"), c.kubernetes("kube-controller-manager"), c.tool("crossplane-core"), c.tool(FunctionBinary),
	} {
		if _, err := os.Stat(tool); err != nil {
			return fmt.Errorf("cannot find a tool, which make controlplane-tools or older-kubernetes builds: %w", err)
		}
	}
	free, err := freePorts(ctx, 6)
	if err != nil {
		return err
	}
	c.ports = ports{free[0], free[1], free[2], free[3], free[4], free[5]}
	if c.credentials, err = newCredentials(serverUsers...); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"service-account.key": c.credentials.serviceAccountKey,
		"server.crt":          c.credentials.certificate,
		"server.key":          c.credentials.key,
		"tokens.csv":          c.credentials.tokenFile(serverUsers...),
	} {
		if err := os.WriteFile(c.path(name), content, 0o600); err != nil {
			return fmt.Errorf("cannot write %s: %w", name, err)
		}
	}
	if c.Kubeconfig, err = c.writeKubeconfig(admin); err != nil {
		return err
	}
	c.Config = c.config(admin)
	if c.Client, err = client.New(c.Config, client.Options{}); err != nil {
		return fmt.Errorf("cannot make client: %w", err)
	}
	if c.Crossplane, err = client.New(c.config(crossplane), client.Options{}); err != nil {
		return fmt.Errorf("cannot make client: %w", err)
	}
	return nil
}

func (c *ControlPlane) startEtcd(ctx context.Context) (err error) {
	clients := fmt.Sprintf("http://127.0.0.1:%d", c.ports.etcd)
	peers := fmt.Sprintf("http://127.0.0.1:%d", c.ports.etcdPeer)
	if c.etcd, err = start(c.Dir, program{name: "etcd", path: c.tool("etcd"), args: []string{
		"--data-dir=" + c.path("etcd"),
		"--listen-client-urls=" + clients, "--advertise-client-urls=" + clients,
		"--listen-peer-urls=" + peers, "--initial-advertise-peer-urls=" + peers,
		"--initial-cluster=default=" + peers,
		// What is lost with the machine is only a test.
		"--unsafe-no-fsync",
		"--log-level=warn",
	}}); err != nil {
		return err
	}
	return c.etcd.await(ctx, func(ctx context.Context) error { return get(ctx, clients+"/health") })
}

// auditPolicy of Options.Audit.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: None
  verbs: [get, list, watch]
- level: None
  resources: [{resources: [events]}, {group: coordination.k8s.io}]
- level: RequestResponse
  resources:
  - group: serviceconnections.io
- level: Metadata
`

// audit is what the API server is told of it.
func (c *ControlPlane) audit() ([]string, error) {
	if !c.Audit {
		return nil, nil
	}
	if err := os.WriteFile(c.path("audit.yaml"), []byte(auditPolicy), 0o600); err != nil {
		return nil, fmt.Errorf("cannot write audit policy: %w", err)
	}
	return []string{"--audit-policy-file=" + c.path("audit.yaml"), "--audit-log-path=" + c.path("audit.log")}, nil
}

func (c *ControlPlane) startAPIServer(ctx context.Context) (err error) {
	audit, err := c.audit()
	if err != nil {
		return err
	}
	if c.apiServer, err = start(c.Dir, program{name: "kube-apiserver", path: c.kubernetes("kube-apiserver"), args: append([]string{
		fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", c.ports.etcd),
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.ports.apiServer),
		// The address of Service kubernetes, which may not be on loopback.
		"--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none",
		"--tls-cert-file=" + c.path("server.crt"), "--tls-private-key-file=" + c.path("server.key"),
		"--cert-dir=" + c.Dir,
		"--token-auth-file=" + c.path("tokens.csv"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=" + Issuer,
		"--service-account-key-file=" + c.path("service-account.key"),
		"--service-account-signing-key-file=" + c.path("service-account.key"),
		"--service-cluster-ip-range=10.0.0.0/24",
		// Without nodes there is nothing to flood.
		"--max-requests-inflight=2000", "--max-mutating-requests-inflight=1000",
	}, audit...)}); err != nil {
		return err
	}
	return c.apiServer.await(ctx, c.apiServerReady)
}

// RestartAPIServer kills the API server without warning and starts it anew. The
// rest goes on, and must find it again.
func (c *ControlPlane) RestartAPIServer(ctx context.Context) error {
	c.apiServer.kill()
	return inTime(ctx, c.startAPIServer)
}

// StallEtcd for some time: it neither answers nor ends.
func (c *ControlPlane) StallEtcd(ctx context.Context, d time.Duration) error {
	return c.etcd.stall(ctx, d)
}

func (c *ControlPlane) apiServerReady(ctx context.Context) error {
	h, err := rest.HTTPClientFor(c.Config)
	if err != nil {
		return permanent{fmt.Errorf("cannot make client: %w", err)}
	}
	return getWith(ctx, h, c.Config.Host+"/readyz")
}

// startControllerManager without the controllers of nodes: there are none, and
// they would evict the pods that tests look at.
func (c *ControlPlane) startControllerManager(ctx context.Context) (err error) {
	if c.controller, err = start(c.Dir, program{name: "kube-controller-manager", path: c.kubernetes("kube-controller-manager"), args: []string{
		"--kubeconfig=" + c.Kubeconfig,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.ports.controller),
		"--cert-dir=" + c.Dir,
		"--leader-elect=false",
		"--service-account-private-key-file=" + c.path("service-account.key"),
		"--root-ca-file=" + c.path("server.crt"),
		"--controllers=*,-node-lifecycle-controller,-node-ipam-controller,-taint-eviction-controller",
		// As fast as the tests look.
		"--concurrent-gc-syncs=20", "--kube-api-qps=500", "--kube-api-burst=1000",
	}}); err != nil {
		return err
	}
	// Once it gives new namespaces their ServiceAccount, it works.
	return c.controller.await(ctx, func(ctx context.Context) error {
		return c.exists(ctx, "v1", "ServiceAccount", "default", "default")
	})
}

func get(ctx context.Context, url string) error { return getWith(ctx, http.DefaultClient, url) }

// getWith a client a URL that must answer 200.
func getWith(ctx context.Context, c *http.Client, url string) error {
	_, err := read(ctx, c, url)
	return err
}

// maxResponse is more than any metrics.
const maxResponse = 16 << 20

// read a URL that must answer 200.
func read(ctx context.Context, c *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", permanent{fmt.Errorf("cannot make request: %w", err)}
	}
	rsp, err := c.Do(req)
	if err != nil {
		return "", fmt.Errorf("cannot get %s: %w", url, err)
	}
	b, err := io.ReadAll(io.LimitReader(rsp.Body, maxResponse))
	if err = errors.Join(err, rsp.Body.Close()); err != nil {
		return "", fmt.Errorf("cannot read %s: %w", url, err)
	}
	if rsp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("cannot get %s: %s: %s", url, rsp.Status, b)
	}
	return string(b), nil
}
