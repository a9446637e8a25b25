module github.com/erlang-operator/erlang-operator/hack

go 1.26.0
