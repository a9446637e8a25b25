module github.com/erlang-operator/erlang-operator/test

go 1.26.0

require (
	github.com/erlang-operator/erlang-operator v0.0.0
	github.com/google/go-cmp v0.7.0
	golang.org/x/sys v0.47.0
)

replace github.com/erlang-operator/erlang-operator => ../
