package door

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// sqlAdmin is the Cloud SQL Admin API.
const sqlAdmin = "sqladmin.googleapis.com"

// proxyPort of each instance, which clients of Cloud SQL's connectors know.
const proxyPort = 3307

// An instance of Cloud SQL: its own authority, by which it and its clients know each
// other, and the address where it lets them in.
type instance struct {
	project, region, name string

	authority *authority
	address   string
}

// OpenInstance of Cloud SQL by its connection name, on a loopback address of its own, for
// a database that listens at a Unix socket.
func (d *Doors) OpenInstance(ctx context.Context, connectionName, socket string) error {
	parts := strings.Split(connectionName, ":")
	if len(parts) != 3 {
		return fmt.Errorf("cannot open instance %q: it has %d parts", connectionName, len(parts))
	}
	a, err := newAuthority("authority of " + connectionName)
	if err != nil {
		return err
	}
	i := &instance{project: parts[0], region: parts[1], name: parts[2], authority: a}
	// Connectors find the instance by its name in the certificate (cloudsqlconn,
	// internal/cloudsql/tls_verify.go).
	certificate, err := a.server(i.project + ":" + i.name)
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	clients.AddCert(a.certificate)
	l, err := listenAlone(ctx)
	if err != nil {
		return err
	}
	i.address, _, _ = net.SplitHostPort(l.Addr().String())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.instances[connectionName] = i
	d.listeners = append(d.listeners, l)
	go accept(context.WithoutCancel(ctx), tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*certificate},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}), socket)
	return nil
}

// listenAlone at the port that clients know, on some loopback address where it is free.
func listenAlone(ctx context.Context) (l net.Listener, err error) {
	const tries = 100
	for range tries {
		host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250)) //nolint:gosec // No secret.
		if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("%s:%d", host, proxyPort)); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("cannot listen at port %d of a loopback address: %w", proxyPort, err)
}

// accept clients of a database until the listener is closed.
func accept(ctx context.Context, l net.Listener, socket string) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer client.Close() //nolint:errcheck // Either end may hang up.
			// Whoever has no certificate of the instance doesn't reach the database.
			if secure, ok := client.(*tls.Conn); !ok || secure.HandshakeContext(ctx) != nil {
				return
			}
			database, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
			if err != nil {
				return
			}
			defer database.Close()           //nolint:errcheck // Either end may hang up.
			go io.Copy(database, client)     //nolint:errcheck // Either end may hang up.
			_, _ = io.Copy(client, database) // Either end may hang up.
		}()
	}
}

// sqlAdminPath of the two methods that connectors call.
var sqlAdminPath = regexp.MustCompile(`^/sql/v1(?:beta4)?/projects/([^/]+)/instances/([^/:]+)(/connectSettings|:generateEphemeralCert)$`)

// serveSQLAdmin as the Cloud SQL Admin API does, by the role that the access token's
// account has in the project (Cloud SQL, "Roles and permissions").
func (d *Doors) serveSQLAdmin(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	call := sqlAdminPath.FindStringSubmatch(r.URL.Path)
	if call == nil {
		http.NotFound(w, r)
		return
	}
	email, ok := d.googleAccount(r)
	if !ok {
		googleError(w, http.StatusUnauthorized, "authError", "Invalid Credentials")
		return
	}
	if !d.cloud.HasProjectRole(email, "roles/cloudsql.client") {
		googleError(w, http.StatusForbidden, "notAuthorized", "boss::NOT_AUTHORIZED: Not authorized to access resource. Possibly missing permission cloudsql.instances.connect on resource instances/"+call[2]+".")
		return
	}
	i := d.instance(call[1], call[2])
	if i == nil {
		googleError(w, http.StatusNotFound, "instanceDoesNotExist", "The Cloud SQL instance does not exist.")
		return
	}
	var answer any
	var err error
	if call[3] == "/connectSettings" {
		answer = map[string]any{
			"kind": "sql#connectSettings", "backendType": "SECOND_GEN", "databaseVersion": "POSTGRES_15", "region": i.region,
			"serverCaCert": map[string]string{"cert": string(i.authority.pem)}, "serverCaMode": "GOOGLE_MANAGED_INTERNAL_CA",
			"ipAddresses": []any{map[string]string{"type": "PRIMARY", "ipAddress": i.address}, map[string]string{"type": "PRIVATE", "ipAddress": i.address}},
		}
	} else {
		answer, err = i.ephemeral(r.Body)
	}
	if err != nil {
		googleError(w, http.StatusBadRequest, "badRequest", err.Error())
		return
	}
	_ = json.NewEncoder(w).Encode(answer) //nolint:errchkjson // Whoever has called may be gone.
}

// instance of a project, nil where there is none.
func (d *Doors) instance(project, name string) *instance {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.instances {
		if i.project == project && i.name == name {
			return i
		}
	}
	return nil
}

// ephemeral certificate for a client's key, with which the instance lets it in.
func (i *instance) ephemeral(body io.Reader) (any, error) {
	var request struct {
		PublicKey string `json:"public_key"`
	}
	if err := json.NewDecoder(body).Decode(&request); err != nil {
		return nil, fmt.Errorf("cannot read request: %w", err)
	}
	block, _ := pem.Decode([]byte(request.PublicKey))
	if block == nil {
		return nil, fmt.Errorf("cannot read the public key")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("cannot read the public key: %w", err)
	}
	i.authority.mu.Lock()
	defer i.authority.mu.Unlock()
	der, err := i.authority.sign(&x509.Certificate{
		Subject:  pkix.Name{CommonName: "Google Cloud SQL Client"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key)
	if err != nil {
		return nil, err
	}
	return map[string]any{"ephemeralCert": map[string]string{
		"kind": "sql#sslCert", "instance": i.name, "commonName": "Google Cloud SQL Client",
		"cert":           string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		"expirationTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
	}}, nil
}

// googleError as Google's APIs have it.
func googleError(w http.ResponseWriter, status int, reason, message string) {
	w.WriteHeader(status)
	//nolint:errchkjson // Whoever has called may be gone.
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"code": status, "message": message,
		"errors": []any{map[string]string{"message": message, "domain": "global", "reason": reason}},
	}})
}
