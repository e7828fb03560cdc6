package asyncapi

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"lonja/kit/errs"
	"lonja/kit/natsauth"
	"lonja/kit/schema"
	"lonja/kit/service"
	"lonja/kit/streams"
)

// Config is what a document is made of. Services and Streams are required.
type Config struct {
	Info     Info
	Services []*service.Service
	Streams  *streams.Config
	Events   []Event // all that the services record and react to
	Schemas  schema.Config
}

// Event is a type of event.
type Event struct {
	Name    string       // "order.placed.v1"
	Type    string       // its ce-type, such as "app.order.placed.v1"
	Subject string       // with a wildcard for the entity's id: "events.order.*.placed"
	Struct  reflect.Type // of the payload
}

const schemaPrefix = "#/components/schemas/"

// The key of the channel on which requests are answered, and the name of the message
// that answers a request with an error.
const (
	inbox        = "answers"
	errorMessage = "error"
)

// builder makes a document.
type builder struct {
	Config
	doc      *Document
	open     *schema.Set // of what readers must still take when members are added
	requests *schema.Set // of what is decoded strictly
	events   map[string]Event
}

// New describes services. It returns an error when a service handles an event that
// Config does not list, or when streams.yaml lacks a consumer that a service needs.
func New(c Config) (*Document, error) {
	b := &builder{Config: c, open: schema.NewSet(c.Schemas, schemaPrefix, false),
		requests: schema.NewSet(c.Schemas, schemaPrefix+"request.", true), events: map[string]Event{},
		doc: &Document{AsyncAPI: "3.0.0", Info: c.Info, DefaultContentType: jsonType,
			Servers: map[string]Server{"nats": {Host: "{host}", Protocol: "nats",
				Description: "A NATS server, or a cluster, with JetStream. Each service connects with its own key, which permits only the subjects that the service needs",
				Variables:   map[string]Variable{"host": {Default: "127.0.0.1:4222", Description: "Host and port"}}}},
			Channels: map[string]*Channel{}, Operations: map[string]*Operation{},
			Components: Components{Messages: map[string]*Message{}, Schemas: map[string]*huma.Schema{}}}}
	for _, e := range c.Events {
		b.events[e.Name] = e
		b.addEvent(e)
	}
	b.addInbox()
	for _, s := range c.Services {
		if err := b.addService(s); err != nil {
			return nil, err
		}
	}
	b.addShared()
	b.addStorage()
	for _, s := range c.Services {
		b.addOperations(s)
	}
	b.addSchemas()
	return b.doc, nil
}

const jsonType = "application/json"

func ref(name string) *huma.Schema { return &huma.Schema{Ref: schemaPrefix + name} }

// lastOf is the name that a reference ends with.
func lastOf(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

func (b *builder) addSchemas() {
	all := b.doc.Components.Schemas
	for name, s := range b.open.All() {
		all[name] = s
	}
	for name, s := range b.requests.All() {
		all["request."+name] = s
	}
	for name, s := range headerSchemas() {
		all[name] = s
	}
}

// addInbox adds the channel of answers.
func (b *builder) addInbox() {
	c := b.channel(Answers, inbox, natsauth.InboxPrefix("*")+".*", "identity", "inbox")
	c.Description = "The reply subject that a request names. It must be an inbox, as every client of NATS makes one: a request with any other reply subject is not handled. " +
		"On a server with keys, only the owner of the inbox can subscribe to it."
	b.message(inbox, &Message{Name: errorMessage, Title: "Error", Summary: "The request failed. The code is the reason.",
		ContentType: jsonType, Headers: ref(errorHeaders), Payload: b.open.Of(reflect.TypeFor[errs.Error]())})
}

// key is the key of a channel: its subject without wildcards.
func key(pattern string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(pattern, "."), func(token string) bool { return token == "*" }), ".")
}

// add adds the channel of a subject, unless the document has it. Pattern is the subject
// with a * for each of the parameters.
func (b *builder) add(kind Kind, pattern string, parameters ...string) (name string, c *Channel) {
	name = key(pattern)
	return name, b.channel(kind, name, pattern, parameters...)
}

func (b *builder) channel(kind Kind, key, pattern string, parameters ...string) *Channel {
	if c := b.doc.Channels[key]; c != nil {
		return c
	}
	address := pattern
	for _, name := range parameters {
		address = strings.Replace(address, "*", "{"+name+"}", 1)
	}
	c := &Channel{Address: address, Messages: map[string]Ref{}, Tags: []Tag{{string(kind)}}, kind: kind, pattern: pattern}
	for _, name := range parameters {
		if c.Parameters == nil {
			c.Parameters = map[string]Parameter{}
		}
		c.Parameters[name] = Parameter{parameterSays[name]}
	}
	b.doc.Channels[key] = c
	return c
}

// parameterSays describes the parameters of all channels but events'.
var parameterSays = map[string]string{
	"key":      "The id of the entity that changed",
	"command":  "The command's id, its ce-id",
	"event":    "The event's id, its ce-id",
	"consumer": "The durable consumer that could not handle the message",
	"stream":   "The stream that holds the message",
	"sequence": "The message's sequence on that stream",
	"identity": "The identity of the client: the name of its key",
	"inbox":    "One or more tokens that the client chooses",
	"user":     "The user whose access tokens are revoked",
	"owner":    "Whose key it is",
}

// message adds a message to a channel. One that is sent on several channels is
// described once.
func (b *builder) message(channel string, m *Message) {
	if b.doc.Components.Messages[m.Name] == nil {
		b.doc.Components.Messages[m.Name] = m
	}
	b.doc.Channels[channel].Messages[m.Name] = Ref{"#/components/messages/" + m.Name}
}

func (b *builder) addEvent(e Event) {
	var parameters []string
	tokens := strings.Split(e.Subject, ".")
	for i, token := range tokens {
		if token == "*" {
			parameters = append(parameters, tokens[i-1]+"Id")
		}
	}
	name, c := b.add(Events, e.Subject, parameters...)
	for _, p := range parameters {
		c.Parameters[p] = Parameter{"The id of the entity that the event is about. The entity's state is made of its events, in the order of the stream"}
	}
	headers := all(eventHeaders)
	headers.AllOf = append(headers.AllOf, &huma.Schema{Type: huma.TypeObject,
		Properties: map[string]*huma.Schema{"ce-type": {Type: huma.TypeString, Enum: []any{e.Type}}}})
	b.message(name, &Message{Name: e.Type, Title: e.Struct.Name(), Summary: b.comment(e.Struct), ContentType: jsonType,
		Headers: headers, Payload: b.open.Of(e.Struct)})
}

// comment is the doc comment of a type.
func (b *builder) comment(t reflect.Type) string { return b.Schemas.Comments[schema.Name(t)] }

// addReactions checks that all that a service reacts to is known, and adds the reminders that
// earlier versions of it have set.
func (b *builder) addReactions(s *service.Service) error {
	for _, r := range s.Reactions {
		if b.Streams.StreamOf(r.Consumer) == "" {
			return fmt.Errorf("asyncapi: streams.yaml has no consumer %s, which service %s reads from", r.Consumer, s.Name)
		}
		if err := b.checkEvents(s.Name, r.EventNames()); err != nil {
			return err
		}
	}
	for _, e := range s.Effects {
		if err := b.checkEvents(s.Name, e.EventNames()); err != nil {
			return err
		}
	}
	for _, t := range s.Timers {
		if err := b.checkEvents(s.Name, t.EventNames()); err != nil {
			return err
		}
		if !b.Streams.HasConsumer(t.Name) {
			continue
		}
		for _, name := range t.EventNames() {
			b.addReminder(t.Name, b.events[name])
		}
	}
	return nil
}

// checkEvents returns an error if an event that a service reacts to is not described.
func (b *builder) checkEvents(service string, names []string) error {
	for _, name := range names {
		if _, known := b.events[name]; !known {
			return fmt.Errorf("asyncapi: service %s reacts to %s, which Config.Events does not list", service, name)
		}
	}
	return nil
}
