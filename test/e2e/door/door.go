// Package door is the clouds' front doors: what the client libraries in a pod call to
// turn a ServiceAccount's token into credentials. Each verifies the token as its cloud
// does, and decides by what is in the cloud of the tests, where the providers have put
// it. None knows a claim, a status, or any code of the function.
//
// Clients call the clouds' own addresses. Their environment names a proxy, and the
// authority that vouches for whoever answers there in the clouds' names: that is the
// network, and all that a process has beside what its pod has.
package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
)

// A Cluster of which pods come to the doors.
type Cluster struct {
	// Name and region of the cluster in EKS.
	Name, Region string

	// Issuer of its ServiceAccounts' tokens.
	Issuer string

	// KeysURL is where its API server publishes the issuer's keys, and Client may read
	// them there. A cloud reads them below the issuer's address, which is no real one
	// here.
	KeysURL string
	Client  *http.Client
}

// Doors that are open.
type Doors struct {
	cloud   *cloud.Cloud
	cluster Cluster

	// issuers whose keys the clouds can read.
	issuers map[string]oidc.KeySet

	authority     *authority
	authorityFile string
	servers       []*http.Server
	listeners     []net.Listener

	// address of the proxy, and of what it connects to behind TLS.
	address, behindTLS string

	mu       sync.Mutex
	ahead    time.Duration
	refusals map[string]int
	sessions map[string]session

	// google has the account of each access token, and entra the client id.
	google, entra map[string]string

	// instances of Cloud SQL by their connection names.
	instances map[string]*instance
}

// Open the doors of a cloud to a cluster's pods, on loopback, until Close. The folder
// is for the certificate of the authority.
func Open(ctx context.Context, c *cloud.Cloud, cluster Cluster, dir string) (*Doors, error) {
	a, err := newAuthority("authority of the tests' clouds")
	if err != nil {
		return nil, err
	}
	d := &Doors{
		cloud: c, cluster: cluster, authority: a,
		issuers:  map[string]oidc.KeySet{},
		refusals: map[string]int{}, sessions: map[string]session{}, google: map[string]string{}, entra: map[string]string{}, instances: map[string]*instance{},
	}
	// The keys are read again when a token names one that isn't known.
	d.issuers[cluster.Issuer] = oidc.NewRemoteKeySet(oidc.ClientContext(context.WithoutCancel(ctx), cluster.Client), cluster.KeysURL)
	if d.authorityFile, err = write(dir, a.pem); err != nil {
		return nil, err
	}
	if d.address, err = d.serve(ctx, false); err == nil {
		d.behindTLS, err = d.serve(ctx, true)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// write the certificate of an authority to a file of its own in a folder.
func write(dir string, certificate []byte) (string, error) {
	f, err := os.CreateTemp(dir, "clouds-*.crt")
	if err == nil {
		_, err = f.Write(certificate)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return "", fmt.Errorf("cannot write the authority's certificate: %w", err)
	}
	return f.Name(), nil
}

// serve on loopback, and return the address.
func (d *Doors) serve(ctx context.Context, tls bool) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot open the clouds' doors: %w", err)
	}
	s := &http.Server{Handler: d, ReadHeaderTimeout: time.Minute}
	d.servers = append(d.servers, s)
	if tls {
		s.TLSConfig = d.authority.config()
		go s.ServeTLS(l, "", "") //nolint:errcheck // It ends with Close.
	} else {
		go s.Serve(l) //nolint:errcheck // It ends with Close.
	}
	return l.Addr().String(), nil
}

// Close the doors.
func (d *Doors) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.servers {
		_ = s.Close() // Whoever is still calling is to be cut off.
	}
	for _, l := range d.listeners {
		_ = l.Close() // As above.
	}
}

// Network is the environment by which a process reaches the doors as a pod reaches the
// clouds.
func (d *Doors) Network() []string {
	return []string{
		"HTTP_PROXY=http://" + d.address, "HTTPS_PROXY=http://" + d.address,
		"SSL_CERT_FILE=" + d.authorityFile,
	}
}

// SetAhead lets the clouds' clocks be ahead of the cluster's, so that tokens expire
// which nobody wants to wait for.
func (d *Doors) SetAhead(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ahead = by
}

// Refusals of a ServiceAccount by a cloud, aws, azure or google, until now.
func (d *Doors) Refusals(by, namespace, serviceAccount string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refusals[by+" "+subject(namespace, serviceAccount)]
}

// refused whoever has come with a token.
func (d *Doors) refused(by string, t token) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refusals[by+" "+t.Subject]++
}

func (d *Doors) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().Add(d.ahead)
}

// stsHost of a region (AWS general reference, "AWS STS endpoints"). The global one,
// without a region, isn't what the injection asks for.
var stsHost = regexp.MustCompile(`^sts\.[a-z]{2}-[a-z]+-\d\.amazonaws\.com$`)

// ServeHTTP as the proxy, and as each address that it reaches.
func (d *Doors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	var door http.HandlerFunc
	switch {
	case host == podIdentityAgent:
		door = d.servePodIdentity
	case stsHost.MatchString(host):
		door = d.serveSTS
	case s3Host.MatchString(host):
		door = d.serveS3
	case host == entraHost:
		door = d.serveEntra
	case vaultHost.MatchString(host):
		door = d.serveVault
	case host == googleUserinfo:
		door = d.serveUserinfo
	case host == sqlAdmin:
		door = d.serveSQLAdmin
	default:
		// As for an address that the network doesn't reach.
		http.Error(w, "no route to "+host, http.StatusBadGateway)
		return
	}
	if r.Method == http.MethodConnect {
		door = d.connect
	}
	door(w, r)
}

// connect a client with what is behind TLS.
func (d *Doors) connect(w http.ResponseWriter, r *http.Request) {
	behind, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", d.behindTLS)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = behind.Close() // It was not used.
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, err = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{behind, client}, {client, behind}} {
		go func() {
			_, _ = io.Copy(way[0], way[1]) // Either end may hang up.
			done <- struct{}{}
		}()
	}
	if err == nil {
		<-done
	}
	_ = errors.Join(client.Close(), behind.Close()) // Either end may hang up.
}
