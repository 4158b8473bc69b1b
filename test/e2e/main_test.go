// Package e2e tests the function on a real control plane: a team's claim on one
// end, the pods that the API server lets in on the other.
package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/e2e/door"
	"github.com/serviceconnections/function-service-connections/test/e2e/node"
	"github.com/serviceconnections/function-service-connections/test/modules"
	"github.com/serviceconnections/function-service-connections/test/process"
)

// A cluster that the tests of one mode share.
type cluster struct {
	*controlplane.ControlPlane

	mode  controlplane.Mode
	cloud *cloud.Cloud

	// doors of the cloud, and the node whose pods come to them.
	doors *door.Doors
	node  *node.Node

	// poll is the providers' interval, if it isn't that of tests.
	poll time.Duration

	// settings are shared by all tests but those that change them.
	settings sync.RWMutex

	// teams at work: as many as the channel holds. A team takes its place after
	// the settings, and those that wait for these take none.
	teams chan struct{}
}

// maxTeams at work at once in a cluster. Most of a test is waiting for the
// control plane, so there are more of them than cores. What is to be timed works alone.
var maxTeams = flag.Int("teams", 6, "teams that work at once in a cluster")

// runProviders of some names, for the cluster's cloud, until they are stopped:
// they outlive the test that starts them.
func (c *cluster) runProviders(names ...string) error {
	address, err := c.cloud.Serve()
	if err != nil {
		return err
	}
	return c.StartProviders(context.Background(), controlplane.ProviderOptions{Cloud: address, PollInterval: c.poll}, names...)
}

var clusters = map[controlplane.Mode]func() (*cluster, error){
	controlplane.Namespaced: sync.OnceValues(func() (*cluster, error) { return startInjecting(controlplane.Namespaced) }),
	controlplane.Claims:     sync.OnceValues(func() (*cluster, error) { return startInjecting(controlplane.Claims) }),
}

// running are the clusters to stop.
var running struct {
	sync.Mutex
	stop []func(failed bool) error
}

// TestMain lets all parallel tests start, since maxTeams limits what they do: a
// limit on tests that wait is a deadlock as soon as one that holds the settings
// has parallel subtests, which then can't start.
func TestMain(m *testing.M) {
	if err := rapidDefaults(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	flag.Parse()
	if err := errors.Join(flag.Set("test.parallel", "1000"), buildBinaries()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	for _, stop := range running.stop {
		if err := stop(code != 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// buildBinaries that the tests start, also where somebody runs one of them by hand and
// has forgotten that the function was changed since.
func buildBinaries() error {
	root, err := modules.Root()
	if err != nil {
		return err
	}
	return process.Build(context.Background(), root, "build", "plugin", "providers", "clients")
}

// startCluster with everything installed, and the cloud that it runs in.
func startCluster(mode controlplane.Mode) (*cluster, error) {
	ctx := context.Background()
	root, err := modules.Root()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "service-connections-")
	if err != nil {
		return nil, err
	}
	// Users of containers go through it to what is their own.
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // As above.
		return nil, err
	}
	cp, err := controlplane.Start(ctx, controlplane.Options{Root: root, Dir: dir, Subscription: subscriptionID, Kubernetes: os.Getenv("KUBERNETES")})
	if err != nil {
		return nil, err
	}
	c := &cluster{ControlPlane: cp, mode: mode, cloud: newCloud(), teams: make(chan struct{}, *maxTeams)}
	if err := c.openDoors(ctx); err != nil {
		cp.Stop()
		return nil, err
	}
	running.Lock()
	running.stop = append(running.stop, func(failed bool) error {
		err := c.StopProviders(controlplane.AllProviders()...)
		cp.Stop()
		c.doors.Close()
		c.cloud.Close()
		if err != nil || failed {
			fmt.Fprintln(os.Stderr, "logs of the control plane are in", dir)
			return err
		}
		return os.RemoveAll(dir)
	})
	running.Unlock()
	err = errors.Join(
		cp.InstallProviders(ctx, controlplane.AllProviders()...),
		cp.Install(ctx, mode),
		cp.ApplyYAML(ctx, settings),
	)
	if err != nil {
		return nil, err
	}
	err = c.runProviders(controlplane.AllProviders()...)
	return c, err
}

// startInjecting cluster, by the webhook where Kubernetes has no policy for it.
func startInjecting(mode controlplane.Mode) (*cluster, error) {
	c, err := startCluster(mode)
	if err != nil || c.HasInjectionPolicy() {
		return c, err
	}
	w, err := c.StartWebhook(context.Background(), 2, false)
	if err != nil {
		return nil, err
	}
	running.Lock()
	defer running.Unlock()
	running.stop = append([]func(bool) error{func(bool) error { return w.Stop(context.Background()) }}, running.stop...)
	return c, nil
}

// newCloud that has what the tests' claims ask for.
func newCloud() *cloud.Cloud {
	c := cloud.New()
	c.AddRole("/", "my-app-s3-access")
	c.AddRole("/apps/", "my-app-other")
	c.AddOIDCProvider(issuer, "sts.amazonaws.com")
	c.AddIdentity(armID("shop"), tenantID)
	c.AddIdentity(armID("other"), tenantID)
	c.AddGoogleAccount("sql-client@my-project-123456.iam.gserviceaccount.com")
	c.GrantProject("sql-client@my-project-123456.iam.gserviceaccount.com", "roles/cloudsql.client")
	c.AddGoogleAccount("other-client@my-project-123456.iam.gserviceaccount.com")
	return c
}

// tenantID of the tests' settings.
const tenantID = "00000000-0000-0000-0000-000000000001"

// subscriptionID of the tests' settings and ProviderConfigs.
const subscriptionID = "00000000-0000-0000-0000-000000000002"

func armID(name string) string {
	return "/subscriptions/" + subscriptionID + "/resourceGroups/rg-shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + name
}

// settings of the clusters.
const settings = `
apiVersion: apiextensions.crossplane.io/v1beta1
kind: EnvironmentConfig
metadata: {name: cluster-settings}
data:
  cluster: {name: one}
  aws:
    accountId: "123456789012"
    region: eu-west-1
    clusterName: one
    allowedRoles:
    - {pattern: "my-app-*", namespaces: ["*"]}
    - {pattern: "arn:aws:iam::210987654321:role/my-app-*", namespaces: ["*"]}
    createRoles:
      namespaces: ["*"]
      permissionsBoundaryArn: arn:aws:iam::123456789012:policy/team-boundary
      allowedPolicyArns: ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"]
      allowInlinePolicies: true
  azure:
    subscriptionId: 00000000-0000-0000-0000-000000000002
    tenantId: 00000000-0000-0000-0000-000000000001
    oidcIssuer: https://oidc.example.org/clusters/one/
    allowedIdentities: [{resourceGroup: "rg-*", identity: "*", namespaces: ["*"]}]
  gcp:
    projectId: my-project-123456
    serviceAccounts:
    - {name: sql-client, namespaces: ["*"]}
    - {name: other-client, namespaces: ["*"]}
  disks:
  - {name: cache-storage, namespaces: ["*"]}
  - {name: uploads, namespaces: ["*"], create: {size: 20Gi}}
  - {name: scratch, namespaces: ["*"], create: {size: 1Gi}, deletionPolicy: Delete}
`
