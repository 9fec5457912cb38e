"""Operations at work: the engine that runs them a step at a time, and the workflows it runs."""
