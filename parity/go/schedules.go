package main

import (
	"fmt"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Schedules: what they look like, what they do, and each policy of overlapping.
func init() {
	scenarios["schedule_is_described"] = scheduleIsDescribed
	scenarios["schedule_is_changed"] = scheduleIsChanged
	scenarios["schedule_acts"] = scheduleActs
	scenarios["schedule_is_triggered"] = scheduleIsTriggered
	scenarios["schedule_pauses_on_failure"] = schedulePausesOnFailure
	scenarios["schedules_are_listed"] = schedulesAreListed
	scenarios["schedule_is_unknown"] = scheduleIsUnknown
	for number, name := range enumspb.ScheduleOverlapPolicy_name {
		if policy := enumspb.ScheduleOverlapPolicy(number); policy != enumspb.SCHEDULE_OVERLAP_POLICY_UNSPECIFIED {
			name = "overlap_" + strings.ToLower(strings.TrimPrefix(name, "SCHEDULE_OVERLAP_POLICY_"))
			scenarios[name] = func(s *session) error { return overlap(s, policy) }
		}
	}
}

// far is long after everything here; what a schedule would do then is known today.
var far = time.Date(2040, time.January, 1, 0, 0, 0, 0, time.UTC)

func (s *session) schedule(change func(*client.ScheduleOptions)) client.ScheduleHandle {
	options := client.ScheduleOptions{
		ID:     s.id,
		Spec:   client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: time.Hour}}, StartAt: far},
		Action: &client.ScheduleWorkflowAction{ID: s.id + "-flow", Workflow: "waiter", TaskQueue: s.taskQueue},
	}
	if change != nil {
		change(&options)
	}
	handle, err := s.client.ScheduleClient().Create(s.ctx, options)
	must(err)
	return handle
}

// described notes a schedule without the times at which things really happened.
func (s *session) described(key string, handle client.ScheduleHandle) *client.ScheduleDescription {
	found, err := handle.Describe(s.ctx)
	if err != nil {
		s.note(key, err)
		return nil
	}
	var next []int64
	for _, when := range found.Info.NextActionTimes {
		next = append(next, when.Unix())
	}
	var recent, running []string
	for _, one := range found.Info.RecentActions {
		recent = append(recent, fmt.Sprint(one.ScheduleTime.Unix()))
	}
	for _, one := range found.Info.RunningWorkflows {
		running = append(running, one.WorkflowID)
	}
	action := found.Schedule.Action.(*client.ScheduleWorkflowAction)
	s.note(key, map[string]any{
		"spec": found.Schedule.Spec, "policy": found.Schedule.Policy, "state": found.Schedule.State,
		"workflow": action.Workflow, "queue": action.TaskQueue, "id": action.ID, "arguments": len(action.Args),
		"summary": action.StaticSummary, "priority": action.Priority, "memo": len(action.Memo),
		"next": next, "recent": recent, "running": running, "actions": found.Info.NumActions,
		"skipped": found.Info.NumActionsSkippedOverlap, "missed": found.Info.NumActionsMissedCatchupWindow,
	})
	return found
}

// labelled waits until the schedule has that search attribute.
func (s *session) labelled(handle client.ScheduleHandle, key temporal.SearchAttributeKeyKeyword, value string) {
	s.until(func() bool {
		found, err := handle.Describe(s.ctx)
		must(err)
		label, _ := found.TypedSearchAttributes.GetKeyword(key)
		return label == value
	})
}

// untilIt waits until the description of a schedule is so, and makes what it started part of what is compared.
func (s *session) untilIt(handle client.ScheduleHandle, condition func(*client.ScheduleDescription) bool) *client.ScheduleDescription {
	var found *client.ScheduleDescription
	s.until(func() bool {
		now, err := handle.Describe(s.ctx)
		found = now
		return err == nil && condition(now)
	})
	for _, one := range found.Info.RecentActions {
		s.sawID(one.StartWorkflowResult.WorkflowID, one.StartWorkflowResult.FirstExecutionRunID)
	}
	return found
}

func scheduleIsDescribed(s *session) error {
	keyword := temporal.NewSearchAttributeKeyKeyword("ConfKeyword")
	one := func(numbers ...int) (ranges []client.ScheduleRange) {
		for _, n := range numbers {
			ranges = append(ranges, client.ScheduleRange{Start: n})
		}
		return
	}
	handle := s.schedule(func(o *client.ScheduleOptions) {
		o.Spec = client.ScheduleSpec{
			Calendars: []client.ScheduleCalendarSpec{{
				Hour: one(7), Minute: []client.ScheduleRange{{Start: 0, End: 50, Step: 25}}, DayOfWeek: []client.ScheduleRange{{Start: 1, End: 5}}, Comment: "workdays",
			}},
			Intervals:       []client.ScheduleIntervalSpec{{Every: 48 * time.Hour, Offset: 90 * time.Minute}},
			CronExpressions: []string{"0 12 * * MON-WED,FRI", "@monthly # rent"},
			Skip:            []client.ScheduleCalendarSpec{{Month: one(2), DayOfMonth: one(29), Hour: []client.ScheduleRange{{Start: 0, End: 23}}}},
			StartAt:         far, EndAt: far.AddDate(1, 0, 0), TimeZoneName: "Europe/Berlin",
		}
		o.Action = &client.ScheduleWorkflowAction{
			ID: s.id + "-flow", Workflow: "waiter", TaskQueue: s.taskQueue, Args: []any{"word", 1},
			WorkflowRunTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 2},
			Memo: map[string]any{"colour": "red"}, StaticSummary: "a summary", Priority: temporal.Priority{PriorityKey: 2},
		}
		o.Overlap, o.CatchupWindow, o.PauseOnFailure = enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE, time.Hour, true
		o.Note, o.Paused, o.RemainingActions = "a note", true, 3
		o.Memo = map[string]any{"of": "the schedule"}
		o.TypedSearchAttributes = temporal.NewSearchAttributes(keyword.ValueSet("scheduled"))
	})
	found := s.described("found", handle)
	s.labelled(handle, keyword, "scheduled")
	s.note("memo", string(found.Memo.Fields["of"].Data))
	_, err := s.client.ScheduleClient().Create(s.ctx, client.ScheduleOptions{
		ID: s.id, Action: &client.ScheduleWorkflowAction{ID: "x", Workflow: "waiter", TaskQueue: s.taskQueue},
	})
	s.note("again", err)
	must(handle.Delete(s.ctx))
	s.described("deleted", handle)
	return nil
}

func scheduleIsChanged(s *session) error {
	handle := s.schedule(nil)
	must(handle.Pause(s.ctx, client.SchedulePauseOptions{Note: "enough"}))
	s.described("paused", handle)
	must(handle.Unpause(s.ctx, client.ScheduleUnpauseOptions{}))
	s.described("unpaused", handle)
	change := func(update func(*client.ScheduleUpdate)) error {
		return handle.Update(s.ctx, client.ScheduleUpdateOptions{
			DoUpdate: func(input client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
				changed := &client.ScheduleUpdate{Schedule: &input.Description.Schedule}
				update(changed)
				return changed, nil
			},
		})
	}
	must(change(func(to *client.ScheduleUpdate) {
		to.Schedule.Spec = &client.ScheduleSpec{CronExpressions: []string{"30 6 * * *"}, StartAt: far}
		to.Schedule.State.Note = "every morning"
		to.Schedule.Policy.Overlap = enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL
	}))
	s.described("changed", handle)
	keyword := temporal.NewSearchAttributeKeyKeyword("ConfKeyword")
	must(change(func(to *client.ScheduleUpdate) {
		labels := temporal.NewSearchAttributes(keyword.ValueSet("later"))
		to.TypedSearchAttributes = &labels
	}))
	s.labelled(handle, keyword, "later")
	s.note("nonsense", change(func(to *client.ScheduleUpdate) {
		to.Schedule.Spec = &client.ScheduleSpec{CronExpressions: []string{"at noon"}}
	}))
	must(handle.Delete(s.ctx))
	return nil
}

func scheduleActs(s *session) error {
	s.work(flow{"waiter", func(workflow.Context) (string, error) { return "done", nil }})
	handle := s.schedule(func(o *client.ScheduleOptions) {
		o.Spec = client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: time.Second}}}
		o.RemainingActions, o.Note = 2, "twice"
	})
	s.untilIt(handle, func(now *client.ScheduleDescription) bool {
		return now.Info.NumActions == 2 && len(now.Info.RunningWorkflows) == 0
	})
	found, err := handle.Describe(s.ctx)
	must(err)
	s.note("state", found.Schedule.State)
	must(handle.Delete(s.ctx))
	return nil
}

func scheduleIsTriggered(s *session) error {
	s.work(flow{"waiter", func(workflow.Context) (string, error) { return "done", nil }})
	handle := s.schedule(func(o *client.ScheduleOptions) { o.Spec.StartAt, o.Paused = time.Time{}, true })
	must(handle.Trigger(s.ctx, client.ScheduleTriggerOptions{}))
	found := s.untilIt(handle, func(now *client.ScheduleDescription) bool {
		return now.Info.NumActions == 1 && len(now.Info.RunningWorkflows) == 0
	})
	s.note("state", found.Schedule.State)
	past := time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC)
	must(handle.Backfill(s.ctx, client.ScheduleBackfillOptions{Backfill: []client.ScheduleBackfill{{
		Start: past, End: past.Add(2 * time.Hour), Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL,
	}}}))
	s.untilIt(handle, func(now *client.ScheduleDescription) bool { return now.Info.NumActions == 4 })
	for _, run := range s.runs {
		must(s.client.GetWorkflow(s.ctx, run[0], run[1]).Get(s.ctx, nil))
	}
	must(handle.Delete(s.ctx))
	return nil
}

func schedulePausesOnFailure(s *session) error {
	s.work(flow{"waiter", func(workflow.Context) error {
		return temporal.NewNonRetryableApplicationError("it broke", "Broken", nil)
	}})
	handle := s.schedule(func(o *client.ScheduleOptions) { o.PauseOnFailure, o.TriggerImmediately = true, true })
	found := s.untilIt(handle, func(now *client.ScheduleDescription) bool { return now.Schedule.State.Paused })
	s.note("note", found.Schedule.State.Note)
	must(handle.Delete(s.ctx))
	return nil
}

// overlap triggers a schedule three times, of which the first begins what the others meet.
func overlap(s *session, policy enumspb.ScheduleOverlapPolicy) error {
	s.work(flow{"waiter", func(ctx workflow.Context) (err error) {
		workflow.NewSelector(ctx).
			AddReceive(workflow.GetSignalChannel(ctx, "end"), func(workflow.ReceiveChannel, bool) {}).
			AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) { err = ctx.Err() }).
			Select(ctx)
		return
	}})
	handle := s.schedule(nil)
	started := []string{}
	// triggered waits for what the trigger has to lead to: so many actions, and so many left out.
	triggered := func(actions, skipped int) {
		s.nextSecond()
		must(handle.Trigger(s.ctx, client.ScheduleTriggerOptions{Overlap: policy}))
		s.acted(handle, &started, actions, skipped)
	}
	triggered(1, 0)
	switch policy {
	case enumspb.SCHEDULE_OVERLAP_POLICY_SKIP:
		triggered(1, 1)
		triggered(1, 2)
	case enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE:
		triggered(1, 0)
		triggered(1, 1)
	case enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL:
		triggered(1, 0)
		triggered(1, 0)
	default:
		triggered(2, 0)
		triggered(3, 0)
	}
	if waiting := bufferedBy[policy]; waiting > 0 {
		for n := range waiting {
			must(s.client.SignalWorkflow(s.ctx, started[n], "", "end", nil))
			s.acted(handle, &started, n+2, 2-waiting)
		}
	}
	s.note("started", len(started))
	must(handle.Delete(s.ctx))
	return nil
}

// bufferedBy is how many of two triggers wait for their turn.
var bufferedBy = map[enumspb.ScheduleOverlapPolicy]int{
	enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE: 1, enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL: 2,
}

// nextSecond waits for it, since the ids of what a schedule starts end in the second.
func (s *session) nextSecond() {
	now := time.Now().Unix()
	s.until(func() bool { return time.Now().Unix() != now })
}

// acted waits for that many actions of a schedule, and for the last workflow to wait for something.
func (s *session) acted(handle client.ScheduleHandle, started *[]string, actions, skipped int) {
	found := s.untilIt(handle, func(now *client.ScheduleDescription) bool {
		return now.Info.NumActions == actions && now.Info.NumActionsSkippedOverlap == skipped
	})
	last := found.Info.RecentActions[len(found.Info.RecentActions)-1].StartWorkflowResult.WorkflowID
	if len(*started) < actions {
		*started = append(*started, last)
	}
	s.settled(last)
}

func schedulesAreListed(s *session) error {
	for _, name := range []string{"one", "two"} {
		s.schedule(func(o *client.ScheduleOptions) {
			o.ID, o.Note, o.Paused = s.name(name), "note of "+name, name == "two"
			keyword := temporal.NewSearchAttributeKeyKeyword("ConfKeyword")
			o.TypedSearchAttributes = temporal.NewSearchAttributes(keyword.ValueSet(s.token))
		})
	}
	listed := map[string]any{}
	s.until(func() bool {
		clear(listed)
		all, err := s.client.ScheduleClient().List(s.ctx, client.ScheduleListOptions{PageSize: 1, Query: fmt.Sprintf("ConfKeyword = '%s'", s.token)})
		must(err)
		for all.HasNext() {
			one, err := all.Next()
			must(err)
			listed[one.ID] = map[string]any{"note": one.Note, "paused": one.Paused, "workflow": one.WorkflowType.Name, "spec": one.Spec}
		}
		return len(listed) == 2
	})
	s.note("listed", listed)
	all, err := s.client.ScheduleClient().List(s.ctx, client.ScheduleListOptions{Query: "Nonsense = 1"})
	must(err)
	_, err = all.Next()
	s.note("bad query", err)
	for _, name := range []string{"one", "two"} {
		must(s.client.ScheduleClient().GetHandle(s.ctx, s.name(name)).Delete(s.ctx))
	}
	return nil
}

func scheduleIsUnknown(s *session) error {
	handle := s.client.ScheduleClient().GetHandle(s.ctx, s.id)
	s.described("describe", handle)
	s.note("trigger", handle.Trigger(s.ctx, client.ScheduleTriggerOptions{}))
	s.note("pause", handle.Pause(s.ctx, client.SchedulePauseOptions{}))
	s.note("delete", handle.Delete(s.ctx))
	_, err := s.client.ScheduleClient().Create(s.ctx, client.ScheduleOptions{
		ID: s.id, Spec: client.ScheduleSpec{CronExpressions: []string{"at noon"}},
		Action: &client.ScheduleWorkflowAction{ID: s.name("x"), Workflow: "waiter", TaskQueue: s.taskQueue},
	})
	s.note("nonsense", err)
	return nil
}
