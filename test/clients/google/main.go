// Command google logs in to Google Cloud as an application does, by the application
// default credentials, and asks whose access token it has got.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/serviceconnections/function-service-connections/test/clients/attempt"
)

func main() {
	flag.Parse()
	var source oauth2.TokenSource
	os.Exit(attempt.Run(func(ctx context.Context) (string, error) {
		if source == nil {
			// One for the life of the process, as applications have it.
			s, err := google.DefaultTokenSource(context.WithoutCancel(ctx), "https://www.googleapis.com/auth/cloud-platform")
			if err != nil {
				return "", err //nolint:wrapcheck // The library's own words are what a user reads.
			}
			source = s
		}
		return whose(ctx, oauth2.NewClient(ctx, source))
	}))
}

// whose access token a client has (Google, "OAuth 2.0 for server to server
// applications", tokeninfo).
func whose(ctx context.Context, client *http.Client) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://openidconnect.googleapis.com/v1/userinfo", http.NoBody)
	if err != nil {
		return "", fmt.Errorf("cannot ask for the account: %w", err)
	}
	rsp, err := client.Do(req)
	if err != nil {
		return "", err //nolint:wrapcheck // The library's own words are what a user reads.
	}
	defer rsp.Body.Close() //nolint:errcheck // It was read.
	if rsp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("cannot ask for the account: %s", rsp.Status)
	}
	var info struct {
		Email string `json:"email"`
	}
	if err := json.NewDecoder(rsp.Body).Decode(&info); err != nil {
		return "", fmt.Errorf("cannot read the account: %w", err)
	}
	return info.Email, nil
}
