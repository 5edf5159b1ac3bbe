"""What operators ask and do: live state, actions with their promise and verdict, over HTTP."""
