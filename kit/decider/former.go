package decider

import (
	"context"
	"strings"

	"lonja/kit/eventlog"
)

// Former is where entities of a type are recorded that an earlier version began. An entity stays
// on one stream from its first event to its last, and its id tells which: so every append to it
// is conditional on the same messages, whichever version makes it.
type Former struct {
	Subject string // as EntityType.Subject
	Stream  string // as EntityType.Stream
	// Prefix begins the ids of the entities that are there, and of no others: "ses_".
	Prefix string
	// Used reports whether new entities are to be recorded there, too, because replicas may be
	// running that know nothing else. It may change its mind at any time. Two replicas that decide on one
	// command at the same moment, and that it tells different things, make two entities of it.
	Used func(context.Context) bool
}

// place is where the events of one entity are.
type place struct {
	stream  string
	filter  string
	expires bool // the stream removes messages by their age
}

// locate returns where the events of an entity are, in a log whose streams may have partitions. The
// errors are those of eventlog.Log.Home.
func (d *Decider[S]) locate(ctx context.Context, id string) (at place, err error) {
	at = d.entityType.placeOf(id)
	at.stream, at.filter, err = d.log.Home(ctx, at.stream, at.filter)
	return at, err
}

// placeOf returns where the events of an entity are if no stream has partitions. It follows from the
// id alone.
func (t EntityType[S]) placeOf(id string) place {
	if f := t.Former; f != nil && strings.HasPrefix(id, f.Prefix) {
		return place{stream: f.Stream, filter: f.Subject + "." + id + ".>"}
	}
	return place{stream: t.Stream, filter: t.Subject + "." + id + ".>", expires: t.Expires}
}

// idFor returns the id of the entity that a command is about.
func (d *Decider[S]) idFor(ctx context.Context, c Command) (id string, err error) {
	if id = c.EntityID; id == "" {
		if id, err = d.newID(ctx, c.ID); err != nil {
			return "", err
		}
	}
	return id, eventlog.CheckEntityID("entity id", id)
}

// newID returns the id of the entity that a command creates. If new entities are recorded
// elsewhere by now than when the command came first, it is the id that it got then.
func (d *Decider[S]) newID(ctx context.Context, commandID string) (string, error) {
	id := eventlog.NewEntityID(d.entityType.Prefix, commandID)
	f := d.entityType.Former
	if f == nil {
		return id, nil
	}
	other := eventlog.NewEntityID(f.Prefix, commandID)
	if f.Used(ctx) {
		id, other = other, id
	}
	at, err := d.locate(ctx, other)
	if err != nil {
		return "", unavailable(err)
	}
	last, err := d.log.Last(ctx, at.stream, at.filter)
	if err == nil && last == 0 {
		err = d.log.CheckLeader(ctx, at.stream)
	}
	if err != nil {
		return "", unavailable(err)
	}
	if last > 0 {
		return other, nil
	}
	return id, nil
}
