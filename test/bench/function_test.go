package main

import (
	"testing"

	"github.com/crossplane/function-sdk-go/logging"

	"github.com/serviceconnections/function-service-connections/fn"
	"github.com/serviceconnections/function-service-connections/test/bench/inprocess"
)

func BenchmarkRunFunction(b *testing.B) { inprocess.Benchmark(b, fn.New(logging.NewNopLogger())) }
