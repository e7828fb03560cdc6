package asyncapi

import (
	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/danielgtaylor/huma/v2"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/service"
)

// The names of the schemas of headers.
const (
	eventHeaders      = "headers.event"
	requestHeaders    = "headers.request"
	answerHeaders     = "headers.answer"
	errorHeaders      = "headers.error"
	reminderHeaders   = "headers.reminder"
	outcomeHeaders    = "headers.outcome"
	deadLetterHeaders = "headers.deadletter"
)

func text(description string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: description}
}

func number(description string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: "^[0-9]+$", Description: description}
}

func dateTime(description string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Description: description}
}

const positionPattern = "^[A-Za-z0-9_-]+:[0-9]+$"

func position(description string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: positionPattern, Description: description}
}

// all is the schema of a message that has the headers of several schemas.
func all(names ...string) *huma.Schema {
	s := &huma.Schema{}
	for _, name := range names {
		s.AllOf = append(s.AllOf, &huma.Schema{Ref: schemaPrefix + name})
	}
	return s
}

// headerSchemas are the headers of all messages. A reader must expect further ones.
func headerSchemas() map[string]*huma.Schema {
	return map[string]*huma.Schema{
		eventHeaders:   eventHeaderSchema(),
		requestHeaders: requestHeaderSchema(),
		answerHeaders: {
			Type: huma.TypeObject, Description: "Headers of an answer",
			Properties: map[string]*huma.Schema{
				bus.HeaderEntity:   text("The id of the command's entity"),
				bus.HeaderPosition: text("A command's answer: STREAM:sequence of the event, or of the entity. A query's answer: the positions of its view, separated by commas"),
				bus.HeaderReplayed: {Type: huma.TypeString, Enum: []any{"true"}, Description: "The command was sent before, and this is its answer"},
				bus.HeaderPart:     {Type: huma.TypeString, Pattern: "^[0-9]+/[0-9]+$", Description: `The number of this part and the number of all parts: "2/7"`},
			},
		},
		errorHeaders: {
			Type: huma.TypeObject, Description: "Why a request failed, in the headers of NATS services",
			Required: []string{bus.HeaderErrorCode},
			Properties: map[string]*huma.Schema{
				bus.HeaderErrorCode: {Type: huma.TypeString, Enum: []any{errs.Invalid, errs.NotFound, errs.Conflict,
					errs.Unauthenticated, errs.Forbidden, errs.Unavailable, errs.RateLimited, errs.Internal}},
				bus.HeaderError: text("Why the request failed, for people"),
				bus.HeaderSize:  number("The size of an answer that is too large for one message, in bytes"),
			},
		},
		reminderHeaders: {
			Type: huma.TypeObject, Description: "The position of the event that is to be handled again",
			Required: []string{eventlog.HeaderID, eventlog.HeaderType},
			Properties: map[string]*huma.Schema{
				eventlog.HeaderID:              text("The event's id"),
				eventlog.HeaderType:            text("The event's type with its version"),
				eventlog.HeaderSpecVersion:     {Type: huma.TypeString, Enum: []any{"1.0"}},
				service.HeaderOriginal:         text("The event's subject"),
				service.HeaderOriginalPosition: position("STREAM:sequence of the event"),
			},
		},
		outcomeHeaders: {
			Type:     huma.TypeObject,
			Required: []string{eventlog.HeaderID},
			Properties: map[string]*huma.Schema{
				eventlog.HeaderID:    text("The command's id"),
				eventlog.HeaderActor: text("The user who sent the command"),
			},
		},
		deadLetterHeaders: {
			Type: huma.TypeObject, Description: "Added to the headers of the message that could not be handled",
			Required: []string{bus.HeaderDeadLetterConsumer, bus.HeaderDeadLetterStream, bus.HeaderDeadLetterSequence, bus.HeaderDeadLetterSubject},
			Properties: map[string]*huma.Schema{
				bus.HeaderDeadLetterReason:   text("Why the message could not be handled"),
				bus.HeaderDeadLetterConsumer: text("The consumer that failed, or " + bus.Undecodable + " when the message cannot be decoded"),
				bus.HeaderDeadLetterStream:   text("The stream that holds the message"),
				bus.HeaderDeadLetterSequence: number("The message's sequence"),
				bus.HeaderDeadLetterSubject:  text("The message's subject"),
			},
		},
	}
}

var (
	traceHeader = text("W3C traceparent")
	actorHeader = text(`The user or service on whose behalf the message is sent: a user's id, or "service:" and the service's name. Without it the sender is anonymous`)
)

// eventHeaderSchema is the schema of the headers of events.
func eventHeaderSchema() *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Description: "CloudEvents 1.0 in binary mode: the attributes are NATS headers",
		Required: []string{eventlog.HeaderID, eventlog.HeaderType, eventlog.HeaderSource, eventlog.HeaderSpecVersion,
			eventlog.HeaderTime, eventlog.HeaderCausation},
		Properties: map[string]*huma.Schema{
			eventlog.HeaderID:                       text("The event's id, derived from its command's: a command that is sent twice makes one event"),
			eventlog.HeaderType:                     text("The event's type with its version"),
			eventlog.HeaderSource:                   text("The service that recorded the event"),
			eventlog.HeaderSpecVersion:              {Type: huma.TypeString, Enum: []any{"1.0"}},
			eventlog.HeaderTime:                     dateTime("The time by the source's clock. Events are ordered by the stream's sequences, not by this"),
			eventlog.HeaderCausation:                text("The id of the command or reaction that made the event"),
			eventlog.HeaderCorrelation:              text("The same for everything that follows from one request. Without it, the same as " + eventlog.HeaderCausation),
			eventlog.HeaderActor:                    actorHeader,
			eventlog.HeaderRequestHash:              text("Distinguishes commands that have the same id and different bodies"),
			eventlog.HeaderTrace:                    text("W3C traceparent. Without it, the trace's id is the correlation id without dashes"),
			wmnats.WatermillUUIDHdr:                 text("The event's id, for Watermill"),
			jetstream.MsgIDHeader:                   text("Only where the sender of the command names the entity: JetStream rejects a second event of the same command, on whichever entity, for a short time"),
			jetstream.ExpectedStreamHeader:          text("The stream that the event was meant for. Only events of earlier versions have it"),
			jetstream.ExpectedLastSubjSeqHeader:     number("The event was recorded on the condition that this was the last sequence of its entity"),
			jetstream.ExpectedLastSubjSeqSubjHeader: text("The subjects of the event's entity"),
		},
	}
}

// requestHeaderSchema is the schema of the headers of commands and queries.
func requestHeaderSchema() *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Description: "A request must not have headers that begin with Nats-: they belong to stored messages, and the request fails",
		Properties: map[string]*huma.Schema{
			eventlog.HeaderID:            text("The command's id. Sent twice with one id, a command takes effect once. Without it, each request is a command of its own"),
			eventlog.HeaderSpecVersion:   {Type: huma.TypeString, Enum: []any{"1.0"}},
			eventlog.HeaderActor:         actorHeader,
			eventlog.HeaderRoles:         text("The actor's roles, separated by commas"),
			eventlog.HeaderCorrelation:   text("The same for everything that follows from one request. It becomes the event's"),
			eventlog.HeaderTrace:         traceHeader,
			eventlog.HeaderAfter:         text("A consistency token, STREAM:sequence, separated by commas. The request waits until the service's view has reached it"),
			eventlog.HeaderTokenPosition: number("The sequence at which the actor's access token was signed. If the token was revoked since, the request fails"),
			eventlog.HeaderSession:       text("The session that the actor's access token was signed for. If the session was revoked since, the request fails"),
			eventlog.HeaderClientNetwork: text("A pseudonym of the network address of the actor"),
			bus.HeaderMaxSize:            number("The client accepts an answer of up to this many bytes, in parts"),
		},
	}
}
