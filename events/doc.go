// Package events is the shop's published language: the events that its services
// record, the ids that name things, and money.
//
// An event is a Go struct. Its JSON is the payload of a message on the subject
//
//	events.<entity>.<id>.<event>          events.order.ord_0198f3.placed
//
// and its type, with its version, stands in the CloudEvents header ce-type:
//
//	lonja.<entity>.<event>.v<version>     lonja.order.placed.v1
//
// Events live as long as the log. A field may be added when it is optional; any
// other change is a new version beside the old one. For every type and version
// a golden file in testdata is decoded by the tests, for ever.
//
// Sub-package command holds the commands that may be refused and sub-package
// query the questions that a service answers. The whole tree imports nothing
// of lonja's, so anyone may speak it.
package events
