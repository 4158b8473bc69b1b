module github.com/serviceconnections/function-service-connections/tools/pins

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	golang.org/x/mod v0.38.0
)
