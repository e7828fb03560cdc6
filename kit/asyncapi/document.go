// Package asyncapi describes services as an AsyncAPI 3.0 document: the channels on
// NATS, the messages with their headers and JSON Schemas, and what each service sends
// and receives. Everything follows from what the services declare, from streams.yaml
// and from the Go types of the messages. So the document describes nothing that does
// not exist, and what is added to a service is added to the document.
package asyncapi

import "github.com/danielgtaylor/huma/v2"

// Document is an AsyncAPI 3.0 document, as far as this package writes one. Names of
// fields are the specification's; what begins with X is an extension.
type Document struct {
	AsyncAPI           string                `json:"asyncapi"`
	Info               Info                  `json:"info"`
	DefaultContentType string                `json:"defaultContentType,omitempty"`
	Servers            map[string]Server     `json:"servers,omitempty"`
	Channels           map[string]*Channel   `json:"channels"`
	Operations         map[string]*Operation `json:"operations"`
	Components         Components            `json:"components"`
}

// Info is the title, version and description of the document.
type Info struct {
	Title       string `json:"title"`
	Version     string `json:"version"`
	Description string `json:"description,omitempty"`
}

// Server is a server that has the channels.
type Server struct {
	Host        string              `json:"host"`
	Protocol    string              `json:"protocol"`
	Description string              `json:"description,omitempty"`
	Variables   map[string]Variable `json:"variables,omitempty"`
}

// Variable is a part of a server's host that differs between installations.
type Variable struct {
	Default     string `json:"default,omitempty"`
	Description string `json:"description,omitempty"`
}

// Ref points to a part of the document, such as "#/channels/events.order.placed".
type Ref struct {
	Ref string `json:"$ref"`
}

// Channel is a subject, or all subjects that differ only in their parameters.
type Channel struct {
	Address     string               `json:"address"` // "events.order.{orderId}.placed"
	Title       string               `json:"title,omitempty"`
	Description string               `json:"description,omitempty"`
	Parameters  map[string]Parameter `json:"parameters,omitempty"`
	Messages    map[string]Ref       `json:"messages"`
	Tags        []Tag                `json:"tags,omitempty"`
	// XJetStream is nil when no stream keeps the messages.
	XJetStream *Stored `json:"x-jetstream,omitempty"`

	kind    Kind
	pattern string // the subject, with a * for each parameter
}

// Kind tells what a channel is for. It is also the name of the channel's first tag.
type Kind string

// The kinds of channels.
const (
	Events   Kind = "events"
	Commands Kind = "commands"
	Queries  Kind = "queries"
	Answers  Kind = "answers"
	Changes  Kind = "changes"
	Deferred Kind = "deferred"
	Timers   Kind = "timers"
	Failures Kind = "failures" // dead letters and their retries
	Tokens   Kind = "tokens"   // revoked access tokens
	Keys     Kind = "keys"     // keys that seal events
	Claims   Kind = "claims"   // who makes a call to the outside
	Operator Kind = "operator" // requests that every replica answers
)

// Kind returns what the channel is for. A document that was read from JSON has none.
func (c *Channel) Kind() Kind { return c.kind }

// Subject returns the channel's subject, with a * for each parameter. A document that
// was read from JSON has none.
func (c *Channel) Subject() string { return c.pattern }

// Parameter is a part of an address.
type Parameter struct {
	Description string `json:"description,omitempty"`
}

// Stored tells which stream keeps a channel's messages, and which durable consumers,
// shared by the replicas of a service, deliver them.
type Stored struct {
	Stream    string     `json:"stream"`
	Private   string     `json:"private,omitempty"` // the only identity that may read the stream; "" when all may
	Consumers []Consumer `json:"consumers,omitempty"`
}

// Consumer is a durable consumer.
type Consumer struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// Operation is what a service does with a channel.
type Operation struct {
	Action      string             `json:"action"` // send or receive
	Channel     Ref                `json:"channel"`
	Summary     string             `json:"summary,omitempty"`
	Description string             `json:"description,omitempty"`
	Tags        []Tag              `json:"tags,omitempty"`
	Bindings    *OperationBindings `json:"bindings,omitempty"`
	Messages    []Ref              `json:"messages,omitempty"`
	Reply       *Reply             `json:"reply,omitempty"`
	XService    string             `json:"x-service"`
	XConsumers  []string           `json:"x-jetstream-consumers,omitempty"` // that deliver the messages
	XViews      []string           `json:"x-views,omitempty"`               // that are built from the messages
}

// OperationBindings hold what is specific to NATS.
type OperationBindings struct {
	NATS struct {
		Queue          string `json:"queue"`
		BindingVersion string `json:"bindingVersion"`
	} `json:"nats"`
}

// Reply tells on which channel a request is answered, and with which messages.
type Reply struct {
	Channel  Ref   `json:"channel"`
	Messages []Ref `json:"messages"`
}

// Tag groups channels or operations.
type Tag struct {
	Name string `json:"name"`
}

// Components hold what other parts of the document refer to.
type Components struct {
	Messages map[string]*Message     `json:"messages"`
	Schemas  map[string]*huma.Schema `json:"schemas"`
}

// Message is a type of message.
type Message struct {
	Name        string       `json:"name"`
	Title       string       `json:"title,omitempty"`
	Summary     string       `json:"summary,omitempty"`
	ContentType string       `json:"contentType"`
	Headers     *huma.Schema `json:"headers,omitempty"`
	Payload     *huma.Schema `json:"payload"`
}

// Message returns the message that a channel or an operation refers to, nil when
// there is none.
func (d *Document) Message(r Ref) *Message {
	return d.Components.Messages[lastOf(r.Ref)]
}

// ChannelOf returns the channel that an operation refers to.
func (d *Document) ChannelOf(o *Operation) *Channel { return d.Channels[lastOf(o.Channel.Ref)] }
