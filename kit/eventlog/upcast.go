package eventlog

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is a version of an event, for NewCodec: the newest one, which is an Event, or an
// older one, which Upcast returns.
type Version interface {
	// EventName is as that of Event.
	EventName() string
}

// Upcast returns a version of an event that is no longer recorded, by its function to the next
// version, which may be an older one itself. Old is a struct with the fields that this version
// had. Next must be pure: an event is the same whenever it is read. Whoever reads a log gets
// the newest version, so nothing else needs to know Old. If Old has sealed fields, next passes on
// its Sealed as well.
//
//	eventlog.NewCodec("tickets", SeatSold{}, eventlog.Upcast(seatSoldV1.next))
func Upcast[Old, Next Version](next func(Old) Next) Version {
	var old Old
	var following Next
	return olderVersion{Version: old, following: following.EventName(), next: func(v Version) Version { return next(v.(Old)) }}
}

// olderVersion is a version that Upcast has declared.
type olderVersion struct {
	Version   // with no field set
	following string
	next      func(Version) Version
}

// checkVersions panics unless each event has one newest version and all that came before it,
// each with an upcast to the next one.
func checkVersions(versions []Version) {
	newest, older := map[string]int{}, map[string]bool{}
	for _, v := range versions {
		event, number := splitVersion(v.EventName())
		old, is := v.(olderVersion)
		switch {
		case is && old.following != versionName(event, number+1):
			panic(fmt.Sprintf("eventlog: the upcast of %s returns %s; let it return %s, and give that one an upcast if it is not the newest", v.EventName(), old.following, versionName(event, number+1)))
		case is:
			older[v.EventName()] = true
		case newest[event] > 0:
			last := min(number, newest[event])
			panic(fmt.Sprintf("eventlog: v%d and v%d of %s are both given as the newest; give eventlog.Upcast with a function from v%d to v%d instead of the older one", last, max(number, newest[event]), event, last, last+1))
		default:
			newest[event] = number
		}
	}
	for event, number := range newest {
		for n := 1; n < number; n++ {
			if !older[versionName(event, n)] {
				panic(fmt.Sprintf("eventlog: %s is missing, which logs may hold for ever; give eventlog.Upcast with a function from its struct to v%d", versionName(event, n), n+1))
			}
		}
	}
	for name := range older {
		event, number := splitVersion(name)
		if following := versionName(event, number+1); newest[event] != number+1 && !older[following] {
			panic(fmt.Sprintf("eventlog: %s has an upcast, but %s is not given", name, following))
		}
	}
}

// splitVersion splits "order.placed.v1" into "order.placed" and 1.
func splitVersion(name string) (event string, number int) {
	i := strings.LastIndex(name, ".v")
	number, _ = strconv.Atoi(name[i+2:]) // digits only, as NewCodec has checked
	return name[:i], number
}

func versionName(event string, number int) string { return event + ".v" + strconv.Itoa(number) }
