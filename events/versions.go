package events

import (
	"fmt"
	"strconv"
	"strings"
)

// checkVersions panics unless each event has one newest version and all that came before it,
// each with a function to the next one.
func checkVersions(byType map[string]kindOf) {
	newest := map[string]int{}
	for typ, k := range byType {
		name, number := splitVersion(typ)
		if _, is := k.zero.(Event); is != (k.upcast == nil) {
			panic(fmt.Sprintf("events: %T must be an Event if it is the newest version, and must not be one if it is older", k.zero))
		}
		if k.upcast == nil {
			if newest[name] > 0 {
				older := min(number, newest[name])
				panic(fmt.Sprintf("events: v%d and v%d of %s are both registered with kind; move the older one to older.go and register its function to v%d with older", older, max(number, newest[name]), name, older+1))
			}
			newest[name] = number
		} else if following := typeOf(k.upcast(k.zero)); following != versionOf(name, number+1) {
			panic(fmt.Sprintf("events: the function of %s returns %s; let it return %s, and register that one with older if it is not the newest", typ, following, versionOf(name, number+1)))
		} else if byType[following].decode == nil {
			panic(fmt.Sprintf("events: %s becomes %s, which is not registered", typ, following))
		}
	}
	for name, number := range newest {
		for n := 1; n < number; n++ {
			if byType[versionOf(name, n)].decode == nil {
				panic(fmt.Sprintf("events: %s is missing, which logs hold for ever; register its function to v%d with older", versionOf(name, n), n+1))
			}
		}
	}
}

// splitVersion splits "lonja.order.placed.v1" into "lonja.order.placed" and 1.
func splitVersion(typ string) (name string, number int) {
	i := strings.LastIndex(typ, ".v")
	number, err := strconv.Atoi(typ[i+2:])
	if i < 0 || err != nil || number < 1 {
		panic(fmt.Sprintf("events: the type %s must end with .v and a number from 1", typ))
	}
	return typ[:i], number
}

func versionOf(name string, number int) string { return name + ".v" + strconv.Itoa(number) }
