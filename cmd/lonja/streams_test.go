package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/kit/revocation"
	"lonja/kit/service"
	"lonja/kit/streams"
)

func mustStreams(t *testing.T) *streams.Config {
	t.Helper()
	config, err := streamsConfig()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// streams.yaml and the code are checked against each other, both ways.

func TestStreams_EveryEventTypeIsCapturedByOneStream(t *testing.T) {
	config := mustStreams(t)
	for _, typ := range events.Types() {
		var capturing []string
		for _, s := range config.Streams {
			for _, filter := range s.Subjects {
				if streams.Matches(filter, events.SubjectsOf(typ)) {
					capturing = append(capturing, s.Name)
				}
			}
		}
		if len(capturing) != 1 {
			t.Errorf("%s is captured by %v", typ, capturing)
		}
	}
}

// The stream must keep a revocation as long as its readers need it.
func TestStreams_RevocationsAreKeptLongEnough(t *testing.T) {
	for _, s := range mustStreams(t).Streams {
		if s.Name == revocation.Stream {
			if s.MaxAge != revocation.Retention || s.MaxMsgsPerSubject != 1 {
				t.Errorf("kept for %v, %d for each user", s.MaxAge, s.MaxMsgsPerSubject)
			}
			return
		}
	}
	t.Error("there is no such stream")
}

func TestStreams_EverySharedConsumerHasOneReaction(t *testing.T) {
	claimed := map[string]string{}
	for name, make := range (shopRules{}).services() {
		claimed[name+"-retries"] = name
		s := make()
		if name != "identity" && len(s.Commands) > 0 { // identity's commands hold passwords, so they are never deferred
			claimed[name+"-deferred"] = name
		}
		claim := func(consumer string) {
			if other, twice := claimed[consumer]; twice {
				t.Errorf("consumer %s is claimed by %s and %s", consumer, other, name)
			}
			claimed[consumer] = name
			if !strings.HasPrefix(consumer, name+"-") {
				t.Errorf("consumer %s of service %s should begin with its name", consumer, name)
			}
		}
		for _, r := range s.Reactions {
			claim(r.Consumer)
		}
		for _, timer := range s.Timers { // their reminders of earlier versions
			claim(timer.Name)
		}
	}
	for _, s := range mustStreams(t).Streams {
		for _, c := range s.Consumers {
			if _, ok := claimed[c.Durable]; !ok {
				t.Errorf("no service claims consumer %s", c.Durable)
			}
			delete(claimed, c.Durable)
		}
	}
	for consumer, name := range claimed {
		t.Errorf("service %s claims consumer %s, which is not in streams.yaml", name, consumer)
	}
}

func TestStreams_FiltersMatchWhatTheReactionHandles(t *testing.T) {
	reactions := map[string]service.Reaction{}
	for _, make := range (shopRules{}).services() {
		for _, r := range make().Reactions {
			reactions[r.Consumer] = r
		}
	}
	for _, s := range mustStreams(t).Streams {
		for _, c := range s.Consumers {
			name, kind, _ := strings.Cut(c.Durable, "-")
			given := map[string]string{"TIMERS": "timers.due." + c.Durable + ".>", "DEFERRED": "deferred." + name + ".>", "RETRIES": "retries." + name + ".>"}
			if want, ok := given[s.Name]; ok {
				if !slices.Equal(c.FilterSubjects, []string{want}) || s.Name != "TIMERS" && kind != strings.ToLower(s.Name) {
					t.Errorf("consumer %s filters %v, want %v", c.Durable, c.FilterSubjects, want)
				}
				continue
			}
			var want []string
			for _, event := range reactions[c.Durable].EventNames() {
				want = append(want, events.SubjectsOf("lonja."+event))
			}
			slices.Sort(want)
			if got := slices.Sorted(slices.Values(c.FilterSubjects)); !slices.Equal(got, want) {
				t.Errorf("consumer %s filters\n%v, its reaction handles\n%v", c.Durable, got, want)
			}
		}
	}
}

func TestStreams_EveryDeadLetterCanBeRetried(t *testing.T) {
	config := mustStreams(t)
	for _, s := range config.Streams {
		for _, c := range s.Consumers {
			name, _, _ := strings.Cut(c.Durable, "-")
			if takers := config.ConsumersOf("RETRIES", "retries."+name+"."+c.Durable+"."+s.Name+".1"); len(takers) != 1 {
				t.Errorf("a dead letter of %s goes back to %v", c.Durable, takers)
			}
		}
	}
}

// All events are kept for ever, but for those of sessions, which are kept for longer than a session
// lasts: 30 days. Nothing but their age removes them.
func TestStreams_EventsAreKept(t *testing.T) {
	for _, s := range mustStreams(t).Streams {
		if s.Name == "SESSIONS" && eventlog.RemovesByAge(s.StreamConfig) && s.MaxAge >= 31*24*time.Hour {
			s.MaxAge = 0
		}
		isEventStream := strings.HasPrefix(s.Subjects[0], "events.")
		if isEventStream && !(s.DenyDelete && s.DenyPurge && s.MaxAge == 0 && s.MaxMsgs <= 0 && s.MaxBytes <= 0 && s.Discard == 1 && s.Storage == 0 && s.PersistMode == 0) {
			t.Errorf("stream %s may lose events: %+v", s.Name, s.StreamConfig)
		}
	}
}

func TestStreams_ViewsReadOnlyDeclaredSubjects(t *testing.T) {
	config := mustStreams(t)
	for name, make := range (shopRules{}).services() {
		for _, v := range make().Views {
			for _, src := range v.Sources() {
				i := slices.IndexFunc(config.Streams, func(s streams.Stream) bool { return s.Name == src.Stream })
				if i < 0 {
					t.Errorf("view %s of %s reads %s, which is not in streams.yaml", v.Name(), name, src.Stream)
					continue
				}
				if (src.Stream == "IDENTITY" || src.Stream == "SESSIONS") && name != "identity" {
					t.Errorf("view %s of %s reads %s, which is identity's alone", v.Name(), name, src.Stream)
				}
				for _, subject := range src.Subjects {
					if !slices.ContainsFunc(events.Types(), func(typ string) bool { return streams.Matches(subject, events.SubjectsOf(typ)) }) {
						t.Errorf("view %s of %s reads %s, which no event matches", v.Name(), name, subject)
					}
				}
			}
		}
	}
}
