package door

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// googleToken is how long an access token lasts (Google, "Create short-lived
// credentials for a service account").
const googleToken = time.Hour

// googleUserinfo is where a token says whose it is.
const googleUserinfo = "openidconnect.googleapis.com"

// A Workload of GKE, as its node knows it.
type Workload struct {
	// Project of the cluster, which names its workload identity pool.
	Project string

	// Account is the Google service account that the ServiceAccount is annotated with
	// now, empty where it isn't.
	Account func(context.Context) (string, error)

	// Token of the pod's ServiceAccount for an audience.
	Token func(ctx context.Context, audience string) (string, error)
}

// ServeMetadata as GKE's metadata server does to the pods of a ServiceAccount on a node
// (GKE, "About Workload Identity Federation for GKE"), and return the address for
// GCE_METADATA_HOST. It is open until the doors are closed.
func (d *Doors) ServeMetadata(ctx context.Context, of Workload) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot serve metadata: %w", err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		if r.URL.Path != "/" && r.Header.Get("Metadata-Flavor") != "Google" {
			http.Error(w, "Missing Metadata-Flavor:Google header.", http.StatusForbidden)
			return
		}
		d.metadata(w, r, of)
	})}
	d.mu.Lock()
	d.servers = append(d.servers, s)
	d.mu.Unlock()
	go s.Serve(l) //nolint:errcheck // It ends with Close.
	return l.Addr().String(), nil
}

func (d *Doors) metadata(w http.ResponseWriter, r *http.Request, of Workload) {
	path := strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/")
	email, err := of.Account(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	switch path {
	case "/":
		return
	case "project/project-id":
		_, err = fmt.Fprint(w, of.Project)
	case "universe/universe-domain":
		_, err = fmt.Fprint(w, "googleapis.com")
	case "instance/service-accounts/default/email":
		_, err = fmt.Fprint(w, email)
	case "instance/service-accounts/default/token":
		err = d.metadataToken(w, r, of, email)
	default:
		http.NotFound(w, r)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
}

// metadataToken exchanges the ServiceAccount's token for one of the pool, and that for
// one of the Google service account.
func (d *Doors) metadataToken(w http.ResponseWriter, r *http.Request, of Workload, email string) error {
	pool := of.Project + ".svc.id.goog"
	raw, err := of.Token(r.Context(), pool)
	if err != nil {
		return err
	}
	t, err := d.exchange(r.Context(), raw, pool)
	if err != nil {
		return fmt.Errorf("Unable to generate access token; %w", err) //nolint:staticcheck // GKE's words.
	}
	namespace, name, _ := serviceAccountOf(t.Subject)
	// The form of GKE that bindings of a Google service account take (IAM, "Principal
	// identifiers").
	whose := fmt.Sprintf("serviceAccount:%s[%s/%s]", pool, namespace, name)
	if email != "" {
		if whose, err = d.generateAccessToken(whose, email); err != nil {
			d.refused("google", t)
			return fmt.Errorf("Unable to generate access token; IAM returned 403 Forbidden: %w. This error could be caused by a missing IAM policy binding on the target IAM service account. For more information, refer to the Workload Identity documentation: https://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity#authenticating_to", err) //nolint:staticcheck // GKE's words.
		}
	}
	token := "ya29." + random(32)
	d.mu.Lock()
	d.google[token] = whose
	d.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	//nolint:errchkjson // It is a map of strings and numbers.
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "expires_in": int(googleToken.Seconds()), "token_type": "Bearer"})
	return nil
}

// exchange a ServiceAccount's token as Google's STS does, for one of the pool.
func (d *Doors) exchange(ctx context.Context, raw, pool string) (token, error) {
	t, err := parse(raw)
	if err == nil {
		err = d.signed(ctx, raw, t)
	}
	_, _, ok := serviceAccountOf(t.Subject)
	switch {
	case err != nil:
		return t, fmt.Errorf("STS returned 400 Bad Request: invalid_grant: %w", err)
	case t.Issuer != d.cluster.Issuer:
		return t, fmt.Errorf("STS returned 400 Bad Request: invalid_grant: the issuer %q in ID Token is not the cluster's", t.Issuer)
	case !t.isFor(pool):
		return t, fmt.Errorf("STS returned 400 Bad Request: invalid_grant: the audience in ID Token %q does not match the expected audience %s", t.Audience, pool)
	case !t.valid(d.now()):
		return t, fmt.Errorf("STS returned 400 Bad Request: invalid_grant: ID Token has expired")
	case !ok:
		return t, fmt.Errorf("STS returned 400 Bad Request: invalid_grant: %q is no ServiceAccount", t.Subject)
	}
	return t, nil
}

// generateAccessToken as the IAM Service Account Credentials API does: by the binding
// of the member to roles/iam.workloadIdentityUser on the account.
func (d *Doors) generateAccessToken(member, email string) (whose string, err error) {
	if !d.cloud.IsMember(email, "roles/iam.workloadIdentityUser", member) {
		return "", fmt.Errorf("Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)") //nolint:staticcheck // IAM's words.
	}
	return email, nil
}

// account of Google whose access token a request has.
func (d *Doors) googleAccount(r *http.Request) (string, bool) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	d.mu.Lock()
	defer d.mu.Unlock()
	whose, ok := d.google[token]
	return whose, ok
}

// serveUserinfo says whose an access token is.
func (d *Doors) serveUserinfo(w http.ResponseWriter, r *http.Request) {
	email, ok := d.googleAccount(r)
	if !ok {
		http.Error(w, `{"error":"invalid_request","error_description":"Invalid Credentials"}`, http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"email": email}) //nolint:errchkjson // Whoever has called may be gone.
}
