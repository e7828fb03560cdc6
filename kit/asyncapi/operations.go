package asyncapi

import (
	"maps"
	"slices"
	"strings"

	"lonja/kit/service"
	"lonja/kit/streams"
)

// addOperations adds what a service sends and receives. What it sends, and which
// requests it answers, follows from its permissions on NATS: they are made of what it
// declares, and the server permits nothing else.
func (b *builder) addOperations(s *service.Service) {
	may := s.Permissions(b.Streams)
	own := s.Describe(b.Streams).Consumers
	for _, key := range slices.Sorted(maps.Keys(b.doc.Channels)) {
		c := b.doc.Channels[key]
		if c.kind != Answers && touches(may.Publish, c.pattern) {
			b.operation(s, "send", key, c)
		}
		switch {
		case c.kind == Commands || c.kind == Queries || c.kind == Operator:
			if touches(may.Subscribe, c.pattern) {
				b.serve(s, key, c)
			}
		case c.XJetStream != nil:
			b.consume(s, own, key, c)
		}
	}
}

// touches reports whether one of the permitted subjects covers a channel's. Subjects of
// NATS itself are not channels.
func touches(permitted []string, pattern string) bool {
	return slices.ContainsFunc(permitted, func(p string) bool { return !strings.HasPrefix(p, "$") && overlap(p, pattern) })
}

func (b *builder) operation(s *service.Service, action, key string, c *Channel) *Operation {
	o := &Operation{Action: action, Channel: Ref{"#/channels/" + key}, Tags: []Tag{{s.Name}, {string(c.kind)}}, XService: s.Name}
	b.doc.Operations[s.Name+"."+action+"."+key] = o
	return o
}

// serve adds a request that the service answers. One replica gets each command and
// query; all replicas get what operators ask.
func (b *builder) serve(s *service.Service, key string, c *Channel) {
	o := b.operation(s, "receive", key, c)
	if c.kind != Operator {
		o.Bindings = &OperationBindings{}
		o.Bindings.NATS.Queue, o.Bindings.NATS.BindingVersion = s.Name, "0.1.0"
	}
	answers := "#/channels/" + inbox
	o.Reply = &Reply{Channel: Ref{answers}}
	for request := range c.Messages { // there is one
		o.Reply.Messages = append(o.Reply.Messages, Ref{answers + "/messages/" + answerTo(request)})
	}
	if c.kind != Operator {
		o.Reply.Messages = append(o.Reply.Messages, Ref{answers + "/messages/" + errorMessage})
	}
}

// consume adds what a stream's consumers deliver to the service's reactions and views.
func (b *builder) consume(s *service.Service, own []string, key string, c *Channel) {
	o := &Operation{}
	for _, consumer := range c.XJetStream.Consumers {
		if slices.Contains(own, consumer.Name) && b.handles(s, consumer.Name, c) {
			o.XConsumers = append(o.XConsumers, consumer.Name)
		}
	}
	for _, v := range s.Views {
		for _, src := range v.Sources() {
			reads := len(src.Subjects) == 0 || slices.ContainsFunc(src.Subjects, func(f string) bool { return streams.Matches(f, c.pattern) })
			if src.Stream == c.XJetStream.Stream && reads {
				o.XViews = append(o.XViews, v.Name())
			}
		}
	}
	if len(o.XConsumers)+len(o.XViews) > 0 {
		made := b.operation(s, "receive", key, c)
		made.XConsumers, made.XViews = o.XConsumers, o.XViews
	}
}

// handles reports whether a consumer of a service handles a channel's messages. A
// reaction handles the events that it declares.
func (b *builder) handles(s *service.Service, consumer string, c *Channel) bool {
	i := slices.IndexFunc(s.Reactions, func(r service.Reaction) bool { return r.Consumer == consumer })
	if i < 0 || c.kind != Events {
		return true
	}
	return slices.ContainsFunc(s.Reactions[i].EventNames(), func(name string) bool {
		_, is := c.Messages[b.events[name].Type]
		return is
	})
}
