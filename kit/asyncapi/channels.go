package asyncapi

import (
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"lonja/kit/bus"
	"lonja/kit/keyring"
	"lonja/kit/revocation"
	"lonja/kit/service"
)

// addService adds what is sent to one service, and by it, alone.
func (b *builder) addService(s *service.Service) error {
	d := s.Describe(b.Streams)
	for _, e := range d.Commands {
		b.addCommand(e, d.Defers)
	}
	for _, e := range d.Queries {
		b.addRequest(Queries, bus.QuerySubject(e.Name), e)
	}
	b.addOperators(s)
	if len(s.ChangeNotifications) > 0 {
		name, c := b.add(Changes, bus.ChangesSubject(s.Name, "*"), "key")
		c.Description = "Every replica sends this once its answers show the change. No stream keeps the message, so a client that listens also asks now and then."
		b.message(name, &Message{Name: "change", Title: "Change", Summary: "The position that shows the change, STREAM:sequence. It is a consistency token.",
			ContentType: "text/plain", Payload: position("")})
	}
	return b.addReactions(s)
}

func (b *builder) addCommand(e service.Endpoint, defers bool) {
	command := b.addRequest(Commands, bus.CommandSubject(e.Name), e)
	if e.OperatorsOnly {
		b.doc.Channels[command].Description = "For operators only."
	}
	if !defers || e.OperatorsOnly {
		return
	}
	name, c := b.add(Deferred, bus.DeferredSubject(e.Name, "*"), "command")
	c.Description = "A deferred command: it is stored, as it was sent, because the service did not answer. Each id is stored once; the service handles it when it is back."
	b.message(name, b.doc.Components.Messages[command])
}

// addRequest adds a command or a query, and its answer. It returns the key of its
// channel, which is the name of its message, too.
func (b *builder) addRequest(kind Kind, subject string, e service.Endpoint) (name string) {
	name, _ = b.add(kind, subject)
	b.message(name, &Message{Name: name, Title: e.Request.Name(), Summary: b.comment(e.Request), ContentType: jsonType,
		Headers: ref(requestHeaders), Payload: b.requests.Of(e.Request)})
	answer := &Message{Name: answerTo(name), Title: "Answer to " + e.Request.Name(), ContentType: jsonType, Headers: ref(answerHeaders), Payload: &huma.Schema{}}
	if e.Answer != nil {
		answer.Payload = b.open.Of(e.Answer)
	}
	b.message(inbox, answer)
	return name
}

func answerTo(request string) string { return request + ".answer" }

// addOperators adds what operators ask of every replica.
func (b *builder) addOperators(s *service.Service) {
	health, c := b.add(Operator, bus.HealthSubject(s.Name))
	c.Description = "Every replica returns its health."
	b.message(health, &Message{Name: "health", Title: "Health check", ContentType: jsonType, Payload: &huma.Schema{Description: "Empty"}})
	b.message(inbox, &Message{Name: answerTo("health"), Title: "Health", Summary: "The health of a replica.", ContentType: jsonType,
		Payload: b.open.Of(reflect.TypeFor[bus.Health]())})
	rebuild, c := b.add(Operator, bus.RebuildSubject(s.Name))
	c.Description = "Every replica rebuilds its views, and reports its progress in several answers."
	b.message(rebuild, &Message{Name: "rebuild", Title: "Rebuild", ContentType: jsonType, Payload: b.open.Of(reflect.TypeFor[service.RebuildRequest]())})
	b.message(inbox, &Message{Name: answerTo("rebuild"), Title: "Progress of a rebuild", ContentType: jsonType, Payload: b.open.Of(reflect.TypeFor[service.RebuildStatus]())})
}

// addReminder adds the subjects on which earlier versions handed an event to the scheduler,
// and on which it comes back.
func (b *builder) addReminder(timer string, e Event) {
	set, due := service.ReminderSubjects(timer, "*")
	for subject, says := range map[string]string{
		set: "An event that JetStream's scheduler is to deliver again later, as earlier versions set it. The header Nats-Schedule tells when.",
		due: "The server publishes a reminder here when it is due. It is a pointer: the service handles the event that the log holds at its position.",
	} {
		name, c := b.add(Timers, subject, "event")
		c.Description = says
		b.message(name, &Message{Name: "reminder." + e.Type, Title: "Reminder of " + e.Struct.Name(), ContentType: jsonType,
			Headers: all(reminderHeaders), Payload: b.open.Of(e.Struct)})
	}
}

// addShared adds what belongs to no single service, where streams.yaml has a stream
// for it.
func (b *builder) addShared() {
	original := &huma.Schema{Description: "The message that could not be handled, as it was"}
	const binary = "application/octet-stream"
	if b.Streams.HasStream(bus.DeadLetterStream) {
		name, c := b.add(Failures, bus.DeadLetterSubject("*", "*", "*"), "consumer", "stream", "sequence")
		c.Description = "A message that a consumer could not handle, once for each consumer. The headers give the reason."
		b.message(name, &Message{Name: "deadletter", Title: "Dead letter", ContentType: binary, Headers: ref(deadLetterHeaders), Payload: original})
	}
	for _, s := range b.Services {
		if !slices.ContainsFunc(s.Describe(b.Streams).Consumers, func(c string) bool { return b.Streams.StreamOf(c) == bus.RetryStream }) {
			continue
		}
		name, c := b.add(Failures, bus.RetrySubject(s.Name, "*", "*", "*"), "consumer", "stream", "sequence")
		c.Description = "A dead letter that is retried by the consumer that failed. The service handles the message that the log holds at the position in the subject."
		b.message(name, &Message{Name: "retry", Title: "Retry", ContentType: binary, Headers: ref(deadLetterHeaders), Payload: original})
	}
	if b.Streams.HasStream(bus.DeferredStream) {
		name, c := b.add(Deferred, bus.OutcomeSubject("*"), "command")
		c.Description = "The outcome of a deferred command."
		b.message(name, &Message{Name: "outcome", Title: "Outcome", Summary: c.Description, ContentType: jsonType,
			Headers: ref(outcomeHeaders), Payload: b.open.Of(reflect.TypeFor[bus.Outcome]())})
	}
	if b.Streams.HasStream(service.ClaimStream) {
		name, c := b.add(Claims, service.ClaimSubject("*", "*"), "effect", "number")
		c.Description = "Which replica makes a call of an effect to the outside for the event with a number, or when the next call may be made."
		b.message(name, &Message{Name: "claim", Title: "Claim", ContentType: jsonType, Payload: b.open.Of(reflect.TypeFor[service.Claim]())})
	}
	if b.Streams.HasStream(revocation.Stream) {
		name, c := b.add(Tokens, revocation.Subject("*"), "user")
		c.Description = "Revokes the access tokens of a user that were signed before a sequence."
		b.message(name, &Message{Name: "revocation", Title: "Revocation", ContentType: jsonType, Payload: b.open.Of(reflect.TypeFor[revocation.Revocation]())})
	}
	if b.Streams.HasStream(keyring.Stream) {
		name, c := b.add(Keys, keyring.Subject("*"), "owner")
		c.Description = "The key that seals members of the events of an owner, encrypted by a key-encryption key, or that it was destroyed."
		b.message(name, &Message{Name: "key", Title: "Key", ContentType: jsonType, Payload: b.open.Of(reflect.TypeFor[keyring.Message]())})
	}
}
