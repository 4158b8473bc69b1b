package main

import (
	"github.com/crossplane/function-sdk-go"
	"github.com/crossplane/function-sdk-go/errors"
	"github.com/crossplane/function-sdk-go/logging"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
)

// connect makes what a process needs that talks to the API server: a logger, which with
// verbose tells of more, and the configuration of its client.
func connect(verbose bool) (logging.Logger, *rest.Config, error) {
	log, err := function.NewLogger(verbose)
	if err != nil {
		return nil, nil, errors.Wrap(err, "cannot create logger")
	}
	client, err := config.GetConfig()
	if err != nil {
		return nil, nil, errors.Wrap(err, "cannot find the API server")
	}
	return log, client, nil
}
