// Package cloudapi is what the providers of the tests and the cloud of the tests
// have to say to each other: calls, each named as the right to make it is, in JSON
// over HTTP on loopback. The clouds' own protocols differ, which no provider
// notices behind the clients of its SDK.
package cloudapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// An Error of a cloud. The providers put it into the words of their SDKs.
type Error struct {
	// Status of HTTP.
	Status int `json:"status"`

	// Code as the cloud's API reference has it, such as NoSuchEntity.
	Code string `json:"code"`

	// Message for whoever called.
	Message string `json:"message"`

	// RequestID is another one for each call.
	RequestID string `json:"requestId"`
}

// Error says what the cloud said. No provider shows it as it is.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Is says whether an error is one of a cloud with one of some codes.
func Is(err error, codes ...string) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}

	return slices.Contains(codes, e.Code)
}

// A Client of a cloud.
type Client struct {
	// Address of the cloud, such as http://127.0.0.1:12345.
	Address string
}

// call the cloud with a request, and read its response. Errors of the cloud are
// *Error.
func call[Out any](ctx context.Context, c Client, action string, in any) (Out, error) {
	var out Out

	body, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("cannot encode %s: %w", action, err)
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Address+"/"+action, bytes.NewReader(body))
	if err != nil {
		return out, fmt.Errorf("cannot call %s: %w", action, err)
	}

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return out, fmt.Errorf("cannot call %s: %w", action, err)
	}
	defer res.Body.Close() //nolint:errcheck // It was read to its end, or the call has failed.

	if res.StatusCode != http.StatusOK {
		e := &Error{}
		if err := json.NewDecoder(res.Body).Decode(e); err != nil {
			return out, fmt.Errorf("cannot decode error of %s: %w", action, err)
		}

		return out, e
	}

	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("cannot decode response to %s: %w", action, err)
	}

	return out, nil
}

// Action of a request's path.
func Action(path string) string { return strings.TrimPrefix(path, "/") }

// Nothing is what calls return that only do something.
type Nothing struct{}
