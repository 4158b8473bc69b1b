package main

import (
	"testing"

	"github.com/serviceconnections/function-service-connections/test/bench/inprocess"
)

func BenchmarkRunFunction(b *testing.B) { inprocess.Benchmark(b, &Function{}) }
