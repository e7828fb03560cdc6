// Package decider turns commands into events, each exactly once.
//
// An [EntityType] says which stream holds the events of an entity and how they fold into
// its state. Make a [Decider] with [New], connect it to a log with [Decider.Bind], and pass
// each command to [Decider.Decide] together with a pure function that returns the event.
//
// The decider caches an entity's state with the sequence of its last event. It appends the
// new event on the condition that this is still the entity's last one, so any number of
// replicas may decide on the same entity. On a conflict, or without an answer, it loads the
// new events. If its own command is already recorded, it returns that event; otherwise it
// decides again. So neither a second delivery, nor a second replica, nor a lost answer
// records a second event.
//
// A rejection never rests on a stale state: before a decision without an event is
// returned, the log is asked for newer events. Nothing is decided on an entity with an
// event that only a newer program knows.
//
// Memory does not grow with an entity's events. The ids of its newest commands are in memory;
// older ones are asked of a [CommandTable] or read from the log, see [Decider.RememberIn]. A
// decision whose state has forgotten something returns [NeedsLookup]. An entity with very many
// events can have a [Snapshot], so that it is not folded from its first one after a start.
package decider
