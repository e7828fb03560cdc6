package shop

import (
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/asyncapi"
	"lonja/kit/schema"
	"lonja/kit/streams"
	"lonja/services/identity"
)

// AsyncAPI describes what the shop's services send and receive on NATS, for programs
// in any language. Config is streams.yaml; it is an error that it lacks a consumer that
// a service needs.
func AsyncAPI(config *streams.Config) (*asyncapi.Document, error) {
	return asyncapi.New(asyncapi.Config{
		Info: asyncapi.Info{Title: "lonja", Version: "1.0.0", Description: "A shop on NATS JetStream: the events that its services record, and the commands and queries that they answer.\n\n" +
			"An event is a message on events.{entity}.{id}.{event}. Its headers are CloudEvents attributes, its body is JSON. The header ce-type ends with the version of the type: members may be added to a version, and nothing else changes. " +
			"A command or query is a request; the answer goes to the reply subject. An answer with the header Nats-Service-Error-Code is an error.\n\n" +
			"Money is in minor units: 295 GBP is £2.95."},
		Services: All(undecided), Streams: config, Events: eventTypes(), Schemas: schemaConfig(),
	})
}

// undecided is enough for services that are described and never run.
var undecided = Config{Identity: identity.Config{Announce: func(string, string) {}}}

// EventSchema returns the JSON Schema of the body of events with a ce-type. It panics
// on a type that is not in events.Types.
func EventSchema(typ string) ([]byte, error) {
	id := "urn:lonja:event:" + strings.TrimPrefix(typ, "lonja.")
	return schema.Document(reflect.TypeOf(events.Zero(typ)), id, false, schemaConfig())
}

// eventTypes are all events of the shop.
func eventTypes() (all []asyncapi.Event) {
	for _, typ := range events.Types() {
		zero := events.Zero(typ)
		all = append(all, asyncapi.Event{Name: zero.EventName(), Type: typ, Subject: events.SubjectsOf(typ), Struct: reflect.TypeOf(zero)})
	}
	return all
}

// schemaConfig is what the struct tags of the published types do not tell.
func schemaConfig() schema.Config {
	patterns := map[reflect.Type]string{}
	for _, id := range []any{events.SKU(""), events.OrderID(""), events.PaymentID(""), events.RefundID(""), events.UserID(""), events.SessionID(""), events.LocationID("")} {
		patterns[reflect.TypeOf(id)] = tokenPattern
	}
	return schema.Config{Comments: events.Comments(), Patterns: patterns, Refine: limit}
}

// tokenPattern is what events.IsToken asks of an id.
const tokenPattern = "^[A-Za-z0-9_-]{1,64}$"

// limits are those of types that bodies over HTTP are made of, too. As tags they would
// change what the gateway answers to a body, because the gateway reads tags.
var limits = map[reflect.Type]map[string]func(*huma.Schema){
	reflect.TypeFor[events.Money](): {
		"Amount":   func(s *huma.Schema) { s.Minimum, s.Maximum = new(0.0), new(float64(events.MaxAmount)) },
		"Currency": func(s *huma.Schema) { s.Pattern = "^[A-Z]{3}$" },
	},
	reflect.TypeFor[events.Product]():         {"Name": filled},
	reflect.TypeFor[events.Shortage]():        {"SKU": func(s *huma.Schema) { s.Pattern = "" }}, // its event does not check it
	reflect.TypeFor[events.RealmKeyAdded]():   {"KeyID": func(s *huma.Schema) { s.Pattern = tokenPattern }},
	reflect.TypeFor[command.RegisterUser]():   {"Name": filled, "Email": filled, "Password": filled},
	reflect.TypeFor[command.LogIn]():          {"Email": filled, "Password": filled},
	reflect.TypeFor[command.RefreshSession](): {"RefreshToken": filled},
	reflect.TypeFor[command.LogOut]():         {"RefreshToken": filled},
	reflect.TypeFor[command.ResetPassword]():  {"Password": filled},
}

// filled is a string that must not be empty.
func filled(s *huma.Schema) { s.MinLength = new(1) }

func limit(owner reflect.Type, field string, s *huma.Schema) {
	if refine := limits[owner][field]; refine != nil {
		refine(s)
	}
}
