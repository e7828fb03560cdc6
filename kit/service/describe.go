package service

import (
	"reflect"

	"lonja/kit/streams"
)

// Endpoint describes a command or a query, for those who document a service.
type Endpoint struct {
	Name    string       // "orders.place"
	Request reflect.Type // the struct that the request's JSON is decoded into
	// Answer is the type of the answer's JSON. It is nil when the request has no
	// method Answer; see [Answered].
	Answer        reflect.Type
	OperatorsOnly bool // only operators may send it
}

// Answered is implemented by the structs of commands and queries that tell what they
// are answered with. Answer returns a value of that type; it must not depend on the
// receiver's fields.
type Answered interface{ Answer() any }

// Description is what a service declares, for those who document it.
type Description struct {
	Commands []Endpoint
	Queries  []Endpoint
	// Consumers are the names of the durable consumers that the service's replicas
	// share: those of its reactions, and those that deliver retries and deferred
	// commands.
	Consumers []string
	// Defers reports whether commands to the service are deferred while it is away.
	Defers bool
}

// Describe returns what the service declares. Config is streams.yaml.
func (s *Service) Describe(config *streams.Config) Description {
	d := Description{Consumers: s.consumers(config), Defers: config.HasConsumer(s.deferred())}
	for _, c := range s.Commands {
		d.Commands = append(d.Commands, c.describe())
	}
	for _, q := range s.Queries {
		d.Queries = append(d.Queries, q.describe())
	}
	return d
}

func (h *CommandHandler[S, C]) describe() Endpoint {
	e := endpoint[C](h.name())
	e.OperatorsOnly = h.limited
	return e
}

func (a *QueryHandler[Q]) describe() Endpoint { return endpoint[Q](a.name()) }

func endpoint[R any](name string) Endpoint {
	e := Endpoint{Name: name, Request: reflect.TypeFor[R]()}
	var request R
	if answered, ok := any(request).(Answered); ok {
		e.Answer = reflect.TypeOf(answered.Answer())
	}
	return e
}
