package follow

import (
	"testing"

	"lonja/kit/projection"
)

func TestWatchers_AMissedChangeStaysUnknown(t *testing.T) {
	for name, announced := range map[string][]string{"after": {"A:3", ""}, "before": {"", "A:3"}, "between": {"A:3", "", "B:1"}} {
		ws := watchers{byKey: map[string][]*watcher{}}
		w := ws.add("a")
		for _, position := range announced {
			if position == "" {
				ws.notify("", "")
			} else {
				ws.notify("a", position)
			}
		}
		if token := <-w.changed; covers(projection.Token{"A": 9, "B": 9}, token) {
			t.Errorf("%s: %v hides that announcements were missed", name, token)
		}
	}
}

func TestCovers(t *testing.T) {
	seen := projection.Token{"A": 3, "B": 1}
	for announced, want := range map[string]bool{"A:3": true, "A:2.B:1": true, "A:4": false, "A:3.B:2": false, "C:1": false, "": false} {
		if got := covers(seen, projection.ParseToken(announced)); got != want {
			t.Errorf("%v covers %q: %v", seen, announced, got)
		}
	}
}
